"""Options that several commands take; what they set otherwise comes from `modalink.settings`."""

from contextvars import ContextVar
from typing import Annotated, Any, Literal

import typer

debugging: ContextVar[bool] = ContextVar("debugging", default=False)
"""Whether `modalink --debug` was asked for."""

RUN = ("--run", "--run-dir")
"""Names of the option of the run folder: `torchrun` takes a plain `--run` for its own `--run-path`."""


def run_option(help: str) -> Any:
    """The option of the run folder."""
    return typer.Option(*RUN, help=help)


Device = Annotated[
    str | None, typer.Option("--device", help="Where to compute; by default an accelerator if there is one.")
]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads of one operation; by default torch's choice.")
]
Best = Annotated[
    bool,
    typer.Option("--best", help="The best checkpoint that a stage's `evaluate` kept, instead of the end of training."),
]
Cache = Annotated[
    str | None,
    typer.Option("--cache", help="Folder for outputs of frozen parts, kept between runs; `off`: in memory alone."),
]
OnChangedData = Annotated[
    Literal["warn", "fail"] | None,
    typer.Option("--on-changed-data", help="What a resumed run does when its data have changed; by default warn."),
]
Track = Annotated[
    str | None,
    typer.Option(
        "--track", help="tensorboard, wandb, mlflow, trackio (with commas) or off; by default TensorBoard if installed."
    ),
]
Processes = Annotated[
    int | None,
    typer.Option(
        "--processes", min=1, help="Processes to start on this machine, one for each accelerator; by default 1."
    ),
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=0, help="Threads that prepare data ahead of the step; by default 2.")
]

MaxNewTokens = Annotated[int, typer.Option("--max-new-tokens", min=1, help="Longest answer, in tokens.")]
Temperature = Annotated[float, typer.Option("--temperature", min=0, help="0: the likeliest words; higher: freer.")]
TopP = Annotated[float, typer.Option("--top-p", min=0, max=1, help="Share of the probability to draw from.")]
MaxMedia = Annotated[int, typer.Option("--max-media", min=0, help="Most media of an answer; 0: words alone.")]
WithoutGenerators = Annotated[
    bool,
    typer.Option(
        "--without-generators", help="Leave the generators out: what media are asked for is said, none is made."
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of words and media.")]

"""Options that commands take together: each is given by itself at the command line, the command sees one mapping."""

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any

import typer

from modalink.cli import options

Command = Callable[..., None]


def option(name: str, kind: Any, told: Any, default: Any = None) -> inspect.Parameter:
    """An option of a command: its name, its type, what typer is told of it, and its value where it is not given."""
    annotation = kind if told is None else Annotated[kind, told]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def taking(command: Command, run: Any, name: str, given: Sequence[inspect.Parameter]) -> Command:
    """`run`, with the signature of the command, but for some options in the place of one of its parameters."""
    own = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in own.parameters.values():
        parameters += given if parameter.name == name else [parameter]
    run.__signature__ = own.replace(parameters=parameters)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    made: Command = run
    return made


def group(
    name: str, *given: inspect.Parameter, together: Callable[[dict[str, Any]], dict[str, Any]] = dict
) -> Callable[[Command], Command]:
    """Let commands that take a mapping as `name` be given its options.

    Args:
        name: The parameter of the command.
        given: The options.
        together: Makes the mapping of their values.
    """

    def decorate(command: Command) -> Command:
        @wraps(command)
        def run(**values: Any) -> None:
            own = {one.name: values.pop(one.name) for one in given}
            command(**{name: together(own)}, **values)

        return taking(command, run, name, given)

    return decorate


takes_sampling = group(
    "sampling",
    option("max_new_tokens", options.MaxNewTokens, None, 256),
    option("temperature", options.Temperature, None, 0.0),
    option("top_p", options.TopP, None, 1.0),
    option("max_media", options.MaxMedia, None, 16),
    option("seed", options.Seed, None, 0),
)
"""How an answer is sampled: keywords of a session's `chat` and `stream`."""


def _loading(told: dict[str, Any]) -> dict[str, Any]:
    return {"generators": not told.pop("without_generators"), **told}


takes_loading = group(
    "loading",
    option("best", options.Best, None, False),
    option("without_generators", options.WithoutGenerators, None, False),
    option("device", options.Device, None),
    option("threads", options.Threads, None),
    together=_loading,
)
"""How a run is loaded: keywords of `inference.load`."""
_MADE: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "guidance": (float, "Classifier-free guidance of the media.", {"min": 0}),
    "steps": (int, "Denoising steps of the media.", {"min": 1}),
    "size": (str, "Size of pictures and videos in pixels, such as 512 or 768x512.", {"metavar": "WIDTHxHEIGHT"}),
    "seconds": (float, "Length of sounds and videos.", {}),
    "frames": (int, "Frames of videos.", {"min": 1}),
    "negative": (str, "What guidance steers the media away from, in words.", {"metavar": "TEXT"}),
}
tells_media = group(
    "making",
    *(
        option(name, kind | None, typer.Option(f"--{name}", help=text, **more))
        for name, (kind, text, more) in _MADE.items()
    ),
    together=lambda told: {name: value for name, value in told.items() if value is not None},
)
"""What is told of the media that are made; what is not told is not in it."""

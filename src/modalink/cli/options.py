"""Options that several commands take; what they set otherwise comes from `modalink.settings`."""

from typing import Annotated

import typer

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
Workers = Annotated[
    int | None, typer.Option("--workers", min=0, help="Threads that prepare data ahead of the step; by default 2.")
]

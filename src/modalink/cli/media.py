"""How commands take media: `--media MODALITY=PATH`, and a short option for each modality of the table.

And how they are told what media shall be made.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from modalink import modalities
from modalink.conversation import Medium
from modalink.errors import OptionError


def takes_media(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command that takes `media: list[Medium]` be given them by `--media`, or by the names of their modalities.

    A modality that is called as one of the command's own options has no short one.
    """
    own = inspect.signature(command, eval_str=True)
    short = {f"medium_{name}": name for name in modalities.names() if name not in own.parameters}

    @wraps(command)
    def run(**given: Any) -> None:
        media = [_medium(text) for text in given.pop("media") or ()]
        media += [Medium(name, path) for option, name in short.items() for path in given.pop(option) or ()]
        command(media=media, **given)

    return _taking(command, run, "media", _media_options(short))


_MADE: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "guidance": (float, "Classifier-free guidance of the media.", {"min": 0}),
    "steps": (int, "Denoising steps of the media.", {"min": 1}),
    "size": (str, "Size of pictures and videos in pixels, such as 512 or 768x512.", {"metavar": "WIDTHxHEIGHT"}),
    "seconds": (float, "Length of sounds and videos.", {}),
    "frames": (int, "Frames of videos.", {"min": 1}),
    "negative": (str, "What guidance steers the media away from, in words.", {"metavar": "TEXT"}),
}


def tells_media(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command that takes `making: dict[str, Any]` be told of the media that are made; what is not told is not
    in it."""

    @wraps(command)
    def run(**given: Any) -> None:
        told = {name: given.pop(name) for name in _MADE}
        command(making={name: value for name, value in told.items() if value is not None}, **given)

    options = [
        _option(name, kind | None, typer.Option(f"--{name}", help=text, **more))
        for name, (kind, text, more) in _MADE.items()
    ]
    return _taking(command, run, "making", options)


def _media_options(short: dict[str, str]) -> list[inspect.Parameter]:
    example = f"{modalities.DEFAULT}={modalities.DEFAULT[0]}{modalities.get(modalities.DEFAULT).written}"
    text = f"A medium to ask about, for example {example}; may be repeated."
    options = [_option("media", list[str] | None, typer.Option("--media", metavar="MODALITY=PATH", help=text))]
    for option, name in short.items():
        text = f"Short for --media {name}=PATH."
        options.append(_option(option, list[Path] | None, typer.Option(f"--{name}", metavar="PATH", help=text)))
    return options


def _taking(command: Callable[..., None], run: Any, name: str, options: list[inspect.Parameter]) -> Callable[..., None]:
    """`run`, with the signature of the command, but for some options in the place of one of its parameters."""
    own = inspect.signature(command, eval_str=True)
    parameters = []
    for parameter in own.parameters.values():
        parameters += options if parameter.name == name else [parameter]
    run.__signature__ = own.replace(parameters=parameters)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    made: Callable[..., None] = run
    return made


def _option(name: str, kind: Any, option: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])


def _medium(text: str) -> Medium:
    modality, sign, path = text.partition("=")
    if not (modality and sign and path):
        raise OptionError(f"--media: found {text!r}, needed MODALITY=PATH, for example {modalities.DEFAULT}=FILE")
    return Medium(modalities.get(modality).name, Path(path))

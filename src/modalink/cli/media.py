"""How commands take media: `--media MODALITY=PATH`, and a short option for each modality of the table."""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import typer

from modalink import modalities
from modalink.cli.option_groups import option, taking
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
        media += [Medium(name, path) for parameter, name in short.items() for path in given.pop(parameter) or ()]
        command(media=media, **given)

    return taking(command, run, "media", _media_options(short))


def _media_options(short: dict[str, str]) -> list[inspect.Parameter]:
    example = f"{modalities.DEFAULT}={modalities.DEFAULT[0]}{modalities.get(modalities.DEFAULT).written}"
    text = f"A medium to ask about, for example {example}; may be repeated."
    options = [option("media", list[str] | None, typer.Option("--media", metavar="MODALITY=PATH", help=text))]
    for parameter, name in short.items():
        text = f"Short for --media {name}=PATH."
        options.append(option(parameter, list[Path] | None, typer.Option(f"--{name}", metavar="PATH", help=text)))
    return options


def _medium(text: str) -> Medium:
    modality, sign, path = text.partition("=")
    if not (modality and sign and path):
        raise OptionError(f"--media: found {text!r}, needed MODALITY=PATH, for example {modalities.DEFAULT}=FILE")
    return Medium(modalities.get(modality).name, Path(path))

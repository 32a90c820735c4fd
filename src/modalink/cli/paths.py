"""Options that name a file or a folder: an empty text names none, though Python takes it for the current folder."""

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from modalink.errors import OptionError


def refuse_empty(command: Any, arguments: Sequence[str]) -> None:
    """Refuse an option of a path that is given an empty text, as a script does whose variable is not set.

    Args:
        command: The command, or the group of commands.
        arguments: What follows its name on the command line.

    Raises:
        OptionError: There is one.
    """
    options = {*_path_options(command)}
    for number, argument in enumerate(arguments):
        if argument == "--":
            return
        option, sign, value = argument.partition("=")
        if option in options and not value and (sign or arguments[number + 1 : number + 2] == [""]):
            raise OptionError(f"{option}: found an empty text, needed a path; the current folder is {option} .")


def _path_options(command: Any) -> Iterator[str]:
    """The spellings of all options of a command, and of those in its group, that take paths."""
    for inner in getattr(command, "commands", {}).values():
        yield from _path_options(inner)
    if command.callback is not None:
        declared = inspect.signature(command.callback, eval_str=True).parameters
        for option in command.params:
            if option.name in declared and _takes_path(declared[option.name].annotation):
                yield from option.opts


def _takes_path(annotation: Any) -> bool:
    return annotation is Path or any(map(_takes_path, get_args(annotation)))

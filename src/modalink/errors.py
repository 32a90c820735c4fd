"""Everything modalink raises on purpose.

    ModalinkError
    ├── RecipeError              a recipe that cannot mean anything
    │   └── UnknownNameError     a name that nothing answers to (also an unknown key, kind, command, zoo part)
    ├── OptionError              an option of a command that cannot mean anything
    ├── PartError                a part that cannot be built, loaded or joined to its neighbour
    │   └── MissingExtraError    an optional dependency is not installed
    ├── DataError                a data source that cannot be read
    │   ├── SampleError          one record of a source that cannot become a conversation, with its name
    │   └── MediumError          one medium that cannot be read, with its path
    ├── PromptError              a conversation that cannot become tokens
    ├── TrainingError            a step or stage that must not go on
    ├── CheckpointError          a run folder that cannot be written or resumed
    ├── GenerationError          an answer that cannot be made
    └── Stopped                  what was being made was stopped, as was asked

All are `ValueError`s whose text says what was found, what was needed, which item, and what to do.
The command line prints that text and exits with 1 (a failure) or 2 (wrong use), never with a traceback.
"""

import difflib
import reprlib
from collections.abc import Iterable
from typing import Any

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60
_SHORT.maxlevel = 3


_LONGEST_LINE = 1500


def shown(value: Any) -> str:
    """A value as an error shows it: as written, but never long, however much it holds."""
    return "nothing" if value is None else _SHORT.repr(value)[:100]


def brief(text: str, longest: int = 60) -> str:
    """A name as an error shows it, without quotes: on one line, what cannot be printed escaped, never long."""
    few = text[:longest] + ("..." if len(text) > longest else "")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in few)


class ModalinkError(ValueError):
    """Base of all errors a user of modalink can cause and mend.

    Args:
        text: What was found, what was needed, which item, what to do; of a line that some input made very long, the
            middle is left out, and half a surrogate pair, which no file or terminal takes, is escaped.
    """

    exit_code = 1

    def __init__(self, text: str) -> None:
        printable = text.encode("utf-8", "backslashreplace").decode()
        super().__init__("\n".join(map(_cut, printable.split("\n"))))


def _cut(line: str) -> str:
    end = _LONGEST_LINE // 3
    return line if len(line) <= _LONGEST_LINE else f"{line[: 2 * end]} [...] {line[-end:]}"


class RecipeError(ModalinkError):
    """A recipe that cannot mean anything."""

    exit_code = 2


class UnknownNameError(RecipeError):
    """A name that nothing answers to; the message offers the nearest real ones.

    Args:
        what: The kind of thing that was named, for example `"recipe key"`.
        found: The name that was given.
        known: The names that exist.
        where: The place it was found at, for example `"demo.yaml, line 4, stages.0"`.
    """

    def __init__(self, what: str, found: str, known: Iterable[str], where: str = "") -> None:
        names = sorted(known)
        near = difflib.get_close_matches(found, names, n=1, cutoff=0.5)
        place = f"{where}: " if where else ""
        hint = f"did you mean {near[0]!r}? " if near else ""
        super().__init__(f"{place}unknown {what} {shown(found)}; {hint}known: {', '.join(names) or 'none'}")
        self.found = found
        self.nearest = near[0] if near else None


class OptionError(ModalinkError):
    """An option of a command that cannot mean anything."""

    exit_code = 2


class PartError(ModalinkError):
    """A part that cannot be built, loaded or joined to its neighbour."""


class MissingExtraError(PartError):
    """An optional dependency is needed and not installed."""

    def __init__(self, purpose: str, package: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed: pip install 'modalink[{extra}]'"
        )


class DataError(ModalinkError):
    """A data source that cannot be read."""


class SampleError(DataError):
    """One record that cannot become a conversation; `reason` is a short ledger key such as `"no_caption"`."""

    def __init__(self, name: str, reason: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name
        self.reason = reason


class MediumError(DataError):
    """One medium that cannot be read; `reason` is a short ledger key such as `"truncated"`."""

    def __init__(self, name: str, reason: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name
        self.reason = reason


def reason_of(error: DataError, name: str) -> tuple[str, str]:
    """What is bad by an error, and the key of why in ledgers.

    Args:
        error: The error.
        name: What it is called where the error does not tell.
    """
    return (error.name, error.reason) if isinstance(error, SampleError | MediumError) else (name, "bad_record")


class PromptError(ModalinkError):
    """A conversation that cannot become tokens."""


class TrainingError(ModalinkError):
    """A step or stage that must not go on."""


class CheckpointError(ModalinkError):
    """A run folder that cannot be written or resumed."""


class GenerationError(ModalinkError):
    """An answer that cannot be made."""


class Stopped(ModalinkError):
    """What was being made was stopped between two steps, as was asked."""

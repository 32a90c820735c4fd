"""Where the media of answers are written: names that tell order and modality, and never take another's place."""

import glob
import os
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from string import Formatter
from typing import Any, Self

from modalink import files, modalities
from modalink.errors import OptionError

FIELDS = ("number", "modality")
"""What a pattern of names can hold in braces."""
_NUMBERED = "-{number}-{modality}"


@dataclass(frozen=True)
class Destination:
    """Names for media.

    Args:
        pattern: A path without its suffix, with `{number}` and `{modality}`; of one without `{number}` the first free
            name is taken of `x`, `x-2`, `x-3` and so on.
        suffix: The suffix that was asked for; media of a modality that does not write it get their own.
    """

    pattern: str
    suffix: str = ""

    @classmethod
    def of(cls, out: str | os.PathLike[str], stem: str = "answer") -> Self:
        """What a path that a user gave means: a folder, a file, or a pattern of names.

        A path with `{number}` or `{modality}` is a pattern; one whose suffix a modality writes is a file; any other is
        a folder, in which files are called `STEM-{number}-{modality}`.

        Raises:
            OptionError: It names a file that is there already, a field that there is not, or a suffix of a format that
                is read only.
        """
        path = files.named(out, OptionError)
        suffix = path.suffix.lower()
        written = suffix in _written(modalities.names())
        if "{" in str(path) and not path.is_dir():
            _check_fields(str(path))
            return cls(str(path.with_suffix("")), suffix) if written else cls(str(path))
        if path.is_dir() or not (written or suffix in _read()):
            if path.exists() and not path.is_dir():
                raise OptionError(f"found that {str(path)!r} is a file, needed a folder, or the name of a new file")
            return cls(escaped(path / stem) + _NUMBERED)
        if not written:
            raise OptionError(f"{path}: {suffix} is read and not written; what is written: {_listed()}")
        if path.exists():
            raise OptionError(f"{str(path)!r} is a file that is there already; name another, or remove it")
        return cls(escaped(path.with_suffix("")), suffix)

    @property
    def folder(self) -> Path:
        """The folder above all files, as far as it has no fields."""
        plain = self.pattern.partition("{number}")[0].partition("{modality}")[0]
        return Path(_plain(plain) + "x").parent

    def check(self, makes: Collection[str]) -> None:
        """Refuse a suffix that none of a system's media can have, before anything is made.

        Raises:
            OptionError: The system makes media, and none of them is written so.
        """
        if self.suffix and makes and self.suffix not in _written(makes):
            raise OptionError(f"found the suffix {self.suffix}; what this system makes is written as {_listed(makes)}")

    def notes(self, media: Sequence[tuple[str, Any]]) -> list[str]:
        """What must be said of media that could not have the suffix that was asked for."""
        records = [modalities.get(modality) for modality in dict.fromkeys(modality for modality, _ in media)]
        misfits = [record for record in records if self.suffix and self.suffix not in record.writes]
        return [
            f"{record.name} is not written as {self.suffix}; it has the suffix {record.written}" for record in misfits
        ]

    def paths(self, made: Sequence[str]) -> list[Path]:
        """A free name for each medium of an answer, by its modality, in order."""
        taken: list[Path] = []
        numbered = "{number}" in self.pattern
        numbers = count(self._highest() + 1 if numbered else 1)
        for modality in made:
            writes = modalities.get(modality).writes
            suffix = self.suffix if self.suffix in writes else writes[0]
            names = (self._path(number, modality, suffix) for number in (numbers if numbered else count(1)))
            taken.append(next(path for path in names if path not in taken and not path.exists()))
        return taken

    def write(self, media: Sequence[tuple[str, Any]]) -> list[Path]:
        """Write media.

        Args:
            media: Modality and decoded medium of each, in order.

        Returns:
            The files, in the same order.

        Raises:
            MediumError: A medium cannot be written.
        """
        paths = self.paths([modality for modality, _ in media])
        for path, (modality, medium) in zip(paths, media, strict=True):
            _into(path.parent)
            modalities.get(modality).write(medium, path)
        return paths

    def _path(self, number: int, modality: str, suffix: str) -> Path:
        again = "" if "{number}" in self.pattern or number == 1 else f"-{number}"
        return Path(self.pattern.format(number=number, modality=modality) + again + suffix)

    def _highest(self) -> int:
        """The highest number that a file has, of whatever modality, so that names tell the order of all answers."""
        number = re.compile(self._filled(re.escape, r"(\d+)", ".*") + r"\.\w+")
        found = map(number.fullmatch, glob.glob(self._filled(glob.escape, "*", "*") + ".*"))
        return max((int(name[1]) for name in found if name), default=0)

    def _filled(self, escape: Callable[[str], str], number: str, modality: str) -> str:
        given = {"number": number, "modality": modality}
        parts = Formatter().parse(self.pattern)
        return "".join(escape(text) + ("" if field is None else given[field]) for text, field, *_ in parts)


def _check_fields(pattern: str) -> None:
    try:
        fields = [(field, form, turned) for _, field, form, turned in Formatter().parse(pattern) if field is not None]
    except ValueError as error:
        raise OptionError(
            f"{pattern!r}: found braces that do not fit: {error}; a brace itself is written twice"
        ) from None
    for field, form, turned in fields:
        if field not in FIELDS or form or turned:
            raise OptionError(
                f"{pattern!r}: found the field {field!r}; those that there are: {', '.join(f'{{{f}}}' for f in FIELDS)}"
            )


def _into(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"{folder}: this folder cannot be made: {error.strerror or error}") from None


def _written(names: Iterable[str]) -> set[str]:
    return {suffix for name in names for suffix in modalities.get(name).writes}


def _read() -> set[str]:
    return {suffix for name in modalities.names() for suffix in modalities.get(name).suffixes}


def _listed(names: Iterable[str] | None = None) -> str:
    told = [(name, modalities.get(name).writes) for name in sorted(modalities.names() if names is None else names)]
    return "; ".join(f"{name} ({', '.join(writes)})" for name, writes in told)


def escaped(path: Path) -> str:
    """A path as a pattern that stands for it alone."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _plain(pattern: str) -> str:
    return pattern.replace("{{", "{").replace("}}", "}")

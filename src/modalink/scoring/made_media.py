"""What `modalink evaluate` keeps of media that a system made: the rows of `predictions.jsonl` in its results."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from modalink import files
from modalink.errors import DataError
from modalink.scoring.rows import read_rows, shown_path

PREDICTIONS, MEDIA = "predictions.jsonl", "media"
_NAMES = {"id": "question_id", "reply": "answer"}
"""What fields are called in the file, as in those of answers in words."""


@dataclass(frozen=True)
class MadeMedium:
    """One medium that was asked for.

    Args:
        id: Its own.
        prompt: The id of what was asked for; of several media of one prompt the same.
        caption: What shall be made.
        asked: The words that the system was asked with.
        reply: What it said.
        file: Where the medium is, below the folder of results; empty where there is none.
        missing: Why there is none; empty where there is one.
        surplus: What the reply asks for beyond the one medium, for example `audio`; empty: nothing.
        seed: Seed of the medium.
    """

    id: str
    prompt: str
    caption: str
    asked: str
    reply: str
    file: str
    missing: str
    surplus: str
    seed: str

    def row(self) -> dict[str, str]:
        """As a line of the file."""
        return {_NAMES.get(name, name): value for name, value in vars(self).items()}

    @property
    def wrong(self) -> bool:
        """Whether the reply holds no medium of the kind that was asked for, or others beside it."""
        return bool(self.missing or self.surplus)


def read_made(results: Path, only: Collection[str] | None = None) -> list[MadeMedium]:
    """The media of a folder of results, in their order.

    Args:
        results: The folder.
        only: Ids of the media that count; all by default.

    Raises:
        DataError: It is no such folder, or a row is damaged.
    """
    path = results / PREDICTIONS
    if not path.is_file():
        raise DataError(
            f"{shown_path(results)}: found no {PREDICTIONS}, needed a folder in which `modalink evaluate` made media"
        )
    names = MadeMedium.__dataclass_fields__
    made = []
    for row in read_rows(path):
        told = {value: name for name, value in _NAMES.items()}
        fields = {told.get(name, name): value for name, value in row.fields.items()}
        if fields.keys() != names.keys() or not all(isinstance(value, str) for value in fields.values()):
            raise DataError(f"{row.where}: found no row of a made medium; delete it to have the medium made again")
        one = MadeMedium(**fields)
        if one.file:
            files.inside(results, one.file, DataError)
        if only is None or one.id in only:
            made.append(one)
    if not made:
        raise DataError(f"{shown_path(path)}: found no media, needed at least one that was asked for")
    return made

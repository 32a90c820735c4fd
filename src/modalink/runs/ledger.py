"""What was skipped, cut or masked in a stage, and why: a line of JSON each.

Lines are only ever appended, so that a crash costs at most the line it falls on.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from modalink.errors import CheckpointError


@dataclass(frozen=True)
class Entry:
    """One line."""

    step: int
    """Steps that were finished when it was written: the number, from 0, of the step it belongs to."""
    sample: str
    reason: str
    """Short key, for example `truncated`."""
    detail: str


class Ledger:
    """The ledger of one stage, in a file that may hold lines of an interrupted run.

    Args:
        path: The file; made, with its folder, where there is none. A line that a crash tore is dropped.

    Raises:
        CheckpointError: The file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._counts: Counter[str] = Counter()
        self._next_step = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
            kept = [entry for entry in map(_parsed, lines) if entry is not None]
            if len(kept) < len(lines):
                self._rewrite(kept)
        except OSError as error:
            raise CheckpointError(f"{path}: the ledger cannot be opened: {error}") from error
        self._count(kept)

    def add(self, step: int, sample: str, reason: str, detail: str) -> None:
        """Append a line; it is in the system's hands when this returns.

        Args:
            step: Steps finished so far.
            sample: The sample's name.
            reason: Short key, for example `truncated`.
            detail: What was found.
        """
        entry = Entry(step, sample, reason, detail)
        try:
            with open(self.path, "ab") as file:
                file.write(_line(entry))
        except OSError as error:
            raise CheckpointError(f"{self.path}: the ledger cannot be written: {error}; make room for it") from error
        self._count([entry])

    def truncate(self, steps: int) -> None:
        """Drop the lines of steps that are not finished, because they will be done again.

        Args:
            steps: Steps finished at the place that a run takes up.
        """
        if self._next_step <= steps:
            return
        kept = [entry for entry in self if entry.step < steps]
        try:
            self._rewrite(kept)
        except OSError as error:
            raise CheckpointError(f"{self.path}: the ledger cannot be shortened: {error}") from error
        self._counts.clear()
        self._next_step = 0
        self._count(kept)

    def summary(self) -> dict[str, int]:
        """Lines by reason, most frequent first."""
        return dict(self._counts.most_common())

    def __iter__(self) -> Iterator[Entry]:
        if self.path.exists():
            with open(self.path, "rb") as file:
                yield from (entry for entry in map(_parsed, file) if entry is not None)

    def _count(self, entries: list[Entry]) -> None:
        self._counts.update(entry.reason for entry in entries)
        self._next_step = max([self._next_step, *(entry.step + 1 for entry in entries)])

    def _rewrite(self, entries: list[Entry]) -> None:
        beside = self.path.with_name(self.path.name + ".new")
        beside.write_bytes(b"".join(map(_line, entries)))
        os.replace(beside, self.path)


def _line(entry: Entry) -> bytes:
    return json.dumps(asdict(entry), ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def _parsed(line: bytes) -> Entry | None:
    if not line.endswith(b"\n"):
        return None
    try:
        return Entry(**json.loads(line))
    except (ValueError, TypeError):
        return None

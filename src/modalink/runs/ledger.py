"""What was skipped, cut or masked in a stage, and why: a line of JSON each.

Lines are only ever appended, so that a crash costs at most the line it falls on.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from modalink import files, json_files
from modalink.errors import CheckpointError
from modalink.runs.unwritable import unwritable


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
            files.cut_torn_line(path)
            self._count(list(self))
        except OSError as error:
            raise unwritable(path, error) from error

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
            files.append_json_lines(self.path, [asdict(entry)])
        except OSError as error:
            raise unwritable(self.path, error) from error
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
            files.write(self.path, b"".join(files.json_line(asdict(entry)) for entry in kept))
        except OSError as error:
            raise unwritable(self.path, error) from error
        self._counts.clear()
        self._next_step = 0
        self._count(kept)

    def merge(self, others: Iterable[Entry]) -> None:
        """Take in the lines of other processes, each behind the own lines of its step."""
        others = list(others)
        if not others:
            return
        entries = sorted([*self, *others], key=lambda entry: entry.step)
        try:
            files.write(self.path, b"".join(files.json_line(asdict(entry)) for entry in entries))
        except OSError as error:
            raise unwritable(self.path, error) from error
        self._count(others)

    def summary(self) -> dict[str, int]:
        """Lines by reason, most frequent first."""
        return dict(self._counts.most_common())

    def __iter__(self) -> Iterator[Entry]:
        yield from (entry for entry in map(_parsed, files.whole_lines(self.path)) if entry is not None)

    def _count(self, entries: list[Entry]) -> None:
        self._counts.update(entry.reason for entry in entries)
        self._next_step = max([self._next_step, *(entry.step + 1 for entry in entries)])


def _parsed(line: bytes) -> Entry | None:
    try:
        return json_files.parse(line, CheckpointError, Entry)
    except CheckpointError:
        return None

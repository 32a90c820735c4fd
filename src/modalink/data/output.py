"""Samples written to a file in a format, with a ledger of those that are not: nothing is left out in silence."""

import csv
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from modalink import files
from modalink.conversation import Conversation
from modalink.data.media_store import MediaStore
from modalink.data.writer import WriterConfig
from modalink.errors import DataError, MediumError, OptionError, SampleError, reason_of, shown
from modalink.runs.ledger import Ledger

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv")


@dataclass(frozen=True)
class Written:
    """What became of samples.

    Args:
        written: How many stand in the file.
        left_out: Reason -> lines of the ledger.
        ledger: The ledger, with a line for each sample that is left out.
    """

    written: int
    left_out: dict[str, int]
    ledger: Path


class Output:
    """A file that is being written.

    Args:
        path: The file, which the paths of media are relative to.
        beside: Where it is written until it is whole.
        writer: Its format.
        ledger: Takes what is left out.
    """

    def __init__(self, path: Path, beside: IO[str], writer: WriterConfig, ledger: Ledger) -> None:
        self.path, self.writer, self.ledger = path, writer, ledger
        self.written = 0
        self._file, self._suffix = beside, path.suffix.lower()
        self._media = MediaStore(path.parent, f"{path.stem}-media")
        self._table: Any = None

    def add(self, number: int, conversation: Conversation, beside: Mapping[str, Any] | None = None) -> bool:
        """Write a sample, or its line in the ledger where the format has no form for it.

        Args:
            number: The sample's number in its source.
            conversation: The sample.
            beside: Further columns.

        Returns:
            Whether it was written.

        Raises:
            OSError: The disk takes no more.
        """
        try:
            record = self.writer.carried(self._media.stored(conversation), self.path.parent)
            if taken := record.keys() & (beside or {}).keys():
                detail = f"the format has a column {min(taken)!r} of its own, which cannot be kept as well"
                raise SampleError(conversation.id, "cannot_carry", detail)
            self._write(record | dict(beside or {}), conversation.id)
        except (SampleError, MediumError) as error:
            self.leave_out(number, conversation.id, error.reason, str(error).removeprefix(f"{conversation.id}: "))
            return False
        self.written += 1
        return True

    def leave_out(self, number: int, sample: str, reason: str, detail: str) -> None:
        """Put a sample into the ledger that is not written."""
        self.ledger.add(number, sample, reason, detail)

    def refuse(self, number: int, error: DataError) -> None:
        """Put a record into the ledger that cannot be read, by its error."""
        name, reason = reason_of(error, f"sample {number}")
        self.leave_out(number, name, reason, str(error).removeprefix(f"{name}: "))

    def result(self) -> Written:
        """What has become of the samples so far."""
        return Written(self.written, self.ledger.summary(), self.ledger.path)

    def begin(self) -> None:
        """Write what stands before the first record."""
        if self._suffix == ".json":
            self._file.write("[")

    def end(self) -> None:
        """Write what stands behind the last."""
        if self._suffix == ".json":
            self._file.write("\n]\n")

    def _write(self, record: Mapping[str, Any], id: str) -> None:
        if self._suffix in (".csv", ".tsv"):
            self._write_row(record, id)
            return
        line = files.json_line(record).decode()
        comma = "," if self.written and self._suffix == ".json" else ""
        self._file.write(f"{comma}\n{line.rstrip()}" if self._suffix == ".json" else line)

    def _write_row(self, record: Mapping[str, Any], id: str) -> None:
        row = {name: "" if value is None else value for name, value in record.items()}
        if lists := [name for name, value in row.items() if not isinstance(value, str | int | float)]:
            detail = f"a table has no form for {shown(record[lists[0]])} under {lists[0]!r}; write a .jsonl file"
            raise SampleError(id, "cannot_carry", detail)
        if self._table is None:
            delimiter = "\t" if self._suffix == ".tsv" else ","
            self._table = csv.DictWriter(self._file, list(row), delimiter=delimiter, lineterminator="\n")
            self._table.writeheader()
        if row.keys() != {*self._table.fieldnames}:
            needed = ", ".join(self._table.fieldnames)
            raise SampleError(id, "cannot_carry", f"found the columns {', '.join(row)}, the table has {needed}")
        self._table.writerow(row)


@contextmanager
def writing(path: Path, writer: WriterConfig, ledger: Path | None = None) -> Iterator[Output]:
    """Write samples to a file, which is there whole when the context ends, or not at all.

    Args:
        path: The file, of a suffix in `SUFFIXES`.
        writer: Its format.
        ledger: Takes a JSON line for each sample that is left out; by default beside the file, see `ledger_of`.

    Raises:
        OptionError: The file is there already, or has another suffix.
        OSError: It cannot be written.
    """
    check_new(path)
    if path.suffix.lower() not in SUFFIXES:
        raise OptionError(f"{path}: found the suffix {path.suffix!r}, needed one of {', '.join(SUFFIXES)}")
    place = ledger or ledger_of(path)
    place.unlink(missing_ok=True)
    with (
        files.replacing(path) as beside,
        beside.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        output = Output(path, file, writer, Ledger(place))
        output.begin()
        yield output
        output.end()


def ledger_of(path: Path) -> Path:
    """Where by default it is told what a file of samples does not hold: `chats.ledger` beside `chats.jsonl`.

    It has a suffix of its own, for a source may be the whole folder.
    """
    return path.with_suffix(".ledger")


def check_new(path: Path) -> None:
    """See to it that nothing is overwritten.

    Raises:
        OptionError: Something is there.
    """
    if path.exists():
        raise OptionError(f"{path}: is there already; name another file, or delete it")


def read_back(writer: WriterConfig, path: Path) -> str:
    """The line of recipe that reads a file, for people."""
    return json.dumps(writer.source(path), ensure_ascii=False)

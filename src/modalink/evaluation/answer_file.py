"""A file of answers that grows as they are made: it can be interrupted at any byte and resumed."""

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from modalink import files, json_files
from modalink.errors import DataError
from modalink.runs.folder import differences

PREDICTIONS, ABOUT = "predictions.jsonl", "about.json"


class AnswerFile:
    """The answers to a benchmark's questions in a folder: `predictions.jsonl`, with `about.json` beside it.

    Args:
        folder: Where they are kept; made when it is not there.
        about: What decides the answers; a folder that holds answers of something else is refused.
        field: Name of an answer in a line.

    Example:
        with AnswerFile(folder, {"weights": "5f1c..."}) as answers:
            answers.add([("17", "yes")])
    """

    def __init__(self, folder: Path, about: dict[str, Any], field: str = "answer") -> None:
        self.folder, self.about, self.field = folder, about, field
        self.path = folder / PREDICTIONS
        self.ids: set[str] = set()
        """Questions that are answered."""

    def __enter__(self) -> "AnswerFile":
        """Open the file for one process alone, without the line that a killed process left unfinished.

        Raises:
            DataError: The folder holds answers of something else, or another process is writing there.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("ab")
        busy = f"{self.path}: another process is writing answers there; wait, or choose --out"
        try:
            files.lock(self._file, DataError(busy))
            self._check_about()
            self.ids = self._answered_ids()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, answers: Iterable[tuple[str, str]]) -> None:
        """Write down (id, answer) pairs; when this returns they are on the disk."""
        self.add_rows({"question_id": key, self.field: text} for key, text in answers)

    def add_rows(self, rows: Iterable[dict[str, str]]) -> None:
        """Write down rows with a `question_id`, the answer, and further fields; see `add`."""
        written = list(rows)
        files.append_json_lines(self.path, written, durable=True)
        self.ids.update(row["question_id"] for row in written)

    def _check_about(self) -> None:
        file = self.folder / ABOUT
        anew = f"give --out another folder, or delete {self.folder} to start over"
        if not file.exists():
            if self.path.stat().st_size:
                raise DataError(f"{self.path}: found answers without {ABOUT}, which tells whose they are; {anew}")
            files.write_json(file, self.about)
            return
        changed = differences(json_files.read(file, DataError, dict[str, Any], remedy=anew), self.about)
        if changed:
            lines = "".join(f"\n  {key}: then {_short(old)}, now {_short(new)}" for key, (old, new) in changed.items())
            raise DataError(f"{self.path} holds answers of something else:{lines}\n{anew}")

    def _answered_ids(self) -> set[str]:
        """The ids that are answered; what follows the last whole line is cut off."""
        files.cut_torn_line(self.path)
        ids = set()
        for number, line in enumerate(files.whole_lines(self.path), 1):
            try:
                row = json_files.parse(line, DataError, dict[str, str])
                ids.add(row["question_id"])
                row[self.field]
            except (DataError, KeyError) as error:
                raise DataError(
                    f"{self.path}, line {number}: found {line[:60]!r}, needed an answer; delete the line to have the "
                    "question asked again"
                ) from error
        return ids


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

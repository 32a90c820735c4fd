"""The lines that a stage writes: `metrics.jsonl`, and what trackers make of them."""

import math
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

from modalink import files, json_files
from modalink.errors import CheckpointError
from modalink.runs import trackers
from modalink.runs.shapes import Record
from modalink.runs.unwritable import unwritable


def rewind(path: Path, size: int) -> None:
    """Cut a log back to the length it had at a checkpoint; a log that is shorter has lost lines, and stays as it is.

    Raises:
        CheckpointError: It cannot be cut.
    """
    try:
        if path.exists() and path.stat().st_size > size:
            os.truncate(path, size)
    except OSError as error:
        raise unwritable(path, error) from error


def length(path: Path) -> int:
    """The length of a log, after waiting until it is on the disk."""
    if not path.exists():
        return 0
    files.sync(path)
    return path.stat().st_size


class Best(NamedTuple):
    """The best evaluation of a stage."""

    step: int
    """Steps that were done."""
    value: float


def read_records(path: Path) -> list[dict[str, Any]]:
    """The lines of a stage's metrics, those of steps and those of evaluations.

    Raises:
        CheckpointError: A line is damaged.
    """
    return list(json_files.lines(path, CheckpointError, Record, remedy="delete that line"))


def best_of(records: Iterable[dict[str, Any]], metric: str, mode: Literal["min", "max"]) -> Best | None:
    """The best evaluation among a stage's lines, of equal ones the first; numbers that are not finite do not count."""
    found = [Best(r["step"], r["evaluation"][metric]) for r in records if metric in r.get("evaluation", {})]
    sign = 1 if mode == "min" else -1
    return min((best for best in found if math.isfinite(best.value)), key=lambda best: sign * best.value, default=None)


class Metrics:
    """Writes one line a step, and one an evaluation.

    Args:
        folder: The stage's folder.
        first_step: The step it starts at, from 0: TensorBoard drops what it has from there on.
        track: Names of the trackers; None: TensorBoard where it is installed.

    Raises:
        CheckpointError: They cannot be written.
    """

    def __init__(self, folder: Path, first_step: int, track: Sequence[str] | None = None) -> None:
        self.path = folder / "metrics.jsonl"
        self.trackers = trackers.opened(trackers.chosen(track), folder, first_step)

    def write(self, record: dict[str, Any]) -> None:
        """Add the record of a step or of an evaluation.

        Raises:
            CheckpointError: The disk takes no more.
        """
        try:
            files.append_json_lines(self.path, [record])
            for tracker in self.trackers:
                tracker.log(dict(_flat(record)), record["step"])
        except OSError as error:
            raise unwritable(self.path, error) from error

    def close(self) -> None:
        """Close the trackers."""
        for tracker in self.trackers:
            with suppress(OSError):  # on a full disk, which `write` has told
                tracker.close()


def _flat(record: dict[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for key, value in record.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and key != "step":
            found.append((prefix + key, float(value)))
    return found

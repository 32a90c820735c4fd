"""The lines that a stage writes: `metrics.jsonl`, and TensorBoard's files when it is installed."""

import math
import os
from collections.abc import Iterable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

from modalink import files, json_files
from modalink.errors import CheckpointError
from modalink.runs.shapes import Record


def rewind(path: Path, size: int) -> None:
    """Cut a log back to the length it had at a checkpoint; a log that is shorter has lost lines, and stays as it is."""
    if path.exists() and path.stat().st_size > size:
        os.truncate(path, size)


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
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        self.path = folder / "metrics.jsonl"
        self.board = _board(folder / "tensorboard", first_step)

    def write(self, record: dict[str, Any]) -> None:
        """Add the record of a step or of an evaluation.

        Raises:
            CheckpointError: The disk takes no more.
        """
        try:
            files.append_json_lines(self.path, [record])
            if self.board is not None:
                for name, value in _flat(record):
                    self.board.add_scalar(name, value, record["step"])
        except OSError as error:
            raise CheckpointError(f"{self.path}: cannot be written ({error}); make room and start again") from error

    def close(self) -> None:
        """Close TensorBoard's file."""
        if self.board is not None:
            with suppress(OSError):  # on a full disk, which `write` has told
                self.board.close()


def _board(folder: Path, first_step: int) -> Any:
    if find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=first_step)


def _flat(record: dict[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for key, value in record.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and key != "step":
            found.append((prefix + key, float(value)))
    return found

"""What is in the way is named."""

import errno
import os
from pathlib import Path

import pytest
import torch

from modalink.errors import CheckpointError
from modalink.runs import checkpoints
from modalink.runs.checkpoints import Progress
from modalink.runs.ledger import Ledger
from modalink.runs.metrics import Metrics, rewind
from modalink.runs.results import write_results
from modalink.runs.unwritable import unwritable

PROGRESS = Progress(2, 4, {}, {}, 0)
WEIGHTS = {"weight": torch.ones(2)}


def _metrics(stage: Path) -> None:
    metrics = Metrics(stage, 0)
    try:
        metrics.write({"step": 1, "loss": 1.0})
    finally:
        metrics.close()


WRITERS = {
    "stage": lambda stage: Ledger(stage / "ledger.jsonl"),
    "stage/ledger.jsonl": lambda stage: Ledger(stage / "ledger.jsonl"),
    "stage/metrics.jsonl": _metrics,
    "stage/checkpoints": lambda stage: checkpoints.save(stage / "checkpoints", PROGRESS, WEIGHTS, {}),
    "stage/checkpoints/best": lambda stage: checkpoints.save_best(stage / "checkpoints", 2, "loss", 1.0, WEIGHTS),
    "stage/checkpoints/step-00000002": lambda stage: checkpoints.save(stage / "checkpoints", PROGRESS, WEIGHTS, {}),
    "evaluation": lambda stage: write_results(stage.parent, "pope", {}),
    "evaluation/pope.json": lambda stage: write_results(stage.parent, "pope", {}),
}


@pytest.mark.parametrize("place", WRITERS)
def test_a_file_or_folder_in_the_place_of_another_is_named_and_left_alone(tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "stage").mkdir(exist_ok=True) if place != "stage" else None
    if place.endswith((".json", ".jsonl")):
        (tmp_path / place / "mine").mkdir(parents=True)
    else:
        (tmp_path / place).write_text("mine")
    kind = "folder" if (tmp_path / place).is_dir() else "file"
    with pytest.raises(CheckpointError, match=rf"the {kind} {tmp_path / place} is in the way, which training did not"):
        WRITERS[place](tmp_path / "stage")
    assert (tmp_path / place / "mine").is_dir() or (tmp_path / place).read_text() == "mine"


def test_a_folder_in_the_place_of_a_log_is_not_cut(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl" / "mine").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="is in the way"):
        rewind(tmp_path / "metrics.jsonl", 0)


def test_what_is_left_beside_a_place_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / ".step-00000002.partial").write_text("half")
    checkpoints.save(tmp_path, PROGRESS, WEIGHTS, {})
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "make room and start the same command again"),
        (errno.EDQUOT, "make room"),
        (errno.EACCES, "this user may not write there"),
        (errno.EROFS, "this user may not write there"),
        (errno.ENOENT, "run is gone, removed or renamed while training: put it back"),
        (errno.ENAMETOOLONG, "a shorter name"),
    ],
)
def test_each_reason_has_its_remedy(tmp_path: Path, number: int, remedy: str) -> None:
    error = unwritable(tmp_path / "run" / "stage" / "model", OSError(number, os.strerror(number)), "all else is whole")
    assert str(error).startswith(f"{tmp_path}/run/stage/model: cannot be written ({os.strerror(number)}); all else is")
    assert remedy in str(error)

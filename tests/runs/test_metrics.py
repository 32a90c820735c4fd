"""Metrics that can be rewound."""

import json
from pathlib import Path

import pytest

from modalink.errors import CheckpointError
from modalink.runs.metrics import Metrics, length, rewind


def _records(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_a_rewound_log_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    metrics = Metrics(tmp_path, 0)
    metrics.write({"step": 1, "loss": 2.0})
    saved = length(path)
    metrics.write({"step": 2, "loss": 1.0})
    metrics.close()
    with path.open("a") as file:
        file.write('{"step": 3, "lo')
    rewind(path, saved)
    metrics = Metrics(tmp_path, 1)
    metrics.write({"step": 2, "loss": 1.5})
    metrics.close()
    assert _records(path) == [1, 2]


def test_a_log_without_checkpoint_starts_anew_and_an_absent_one_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    rewind(path, 0)
    assert length(path) == 0
    path.write_text("old\n")
    rewind(path, 0)
    assert length(path) == 0


def test_numbers_reach_tensorboard_by_their_path_in_the_record(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    metrics = Metrics(tmp_path, 0)
    for step in (1, 2):
        metrics.write({"stage": "s", "step": step, "loss": 3.0 - step, "losses": {"language": 0.5 * step}})
    metrics.close()
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in board.Scalars("losses/language")] == [(1, 0.5), (2, 1.0)]
    assert board.Tags()["scalars"] == ["loss", "losses/language"]


def test_training_goes_without_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modalink.runs.trackers.find_spec", lambda name: None)
    metrics = Metrics(tmp_path, 0)
    metrics.write({"step": 1, "loss": 2.0})
    metrics.close()
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_disk_that_takes_no_more_is_told(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    metrics = Metrics(tmp_path, 0)
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl: cannot be written .*No space left"):
        metrics.write({"step": 1, "loss": 2.0})
    metrics.close()

"""Checkpoints: whole or absent."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from modalink.errors import CheckpointError
from modalink.runs import checkpoints
from modalink.runs.checkpoints import Progress

WEIGHTS = {"projector.weight": torch.randn(4, 4), "projector.bias": torch.randn(4)}
MOMENTS = {"projector.weight/exp_avg": torch.randn(4, 4), "projector.weight/step": torch.tensor(3.0)}


def _progress(step: int) -> Progress:
    return Progress(step, 10, {"step": step, "cursor": {"order": {"place": 2 * step}}}, {"received": ["p"]}, 120 * step)


@contextmanager
def _full_disk() -> Iterator[None]:
    """The kernel refuses files beyond 4 KiB: the same failure of `write` that a full disk gives."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _no_warning(text: str) -> None:
    raise AssertionError(text)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    path = checkpoints.save(tmp_path, _progress(3), WEIGHTS, MOMENTS)
    found = checkpoints.latest(tmp_path, _no_warning)
    assert found is not None
    assert found.path == path
    assert len({file.stat().st_mode for file in path.iterdir()}) == 1
    assert found.progress == _progress(3)
    assert not found.progress.done
    assert all(torch.equal(found.weights()[name], tensor) for name, tensor in WEIGHTS.items())
    assert all(torch.equal(found.optimizer()[name], tensor) for name, tensor in MOMENTS.items())


def test_nothing_saved_is_nothing_found(tmp_path: Path) -> None:
    assert checkpoints.latest(tmp_path / "absent", _no_warning) is None


def test_the_two_newest_stay(tmp_path: Path) -> None:
    for step in (2, 4, 6, 10):
        checkpoints.save(tmp_path, _progress(step), WEIGHTS, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000006", "step-00000010"]


@pytest.mark.parametrize("name", ["weights.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_a_damaged_checkpoint_is_told_and_the_one_before_is_taken(tmp_path: Path, name: str, damage: str) -> None:
    checkpoints.save(tmp_path, _progress(2), WEIGHTS, MOMENTS)
    file = checkpoints.save(tmp_path, _progress(4), WEIGHTS, MOMENTS) / name
    content = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    else:
        file.unlink()
    told: list[str] = []
    found = checkpoints.latest(tmp_path, told.append)
    assert found is not None
    assert found.progress.step == 2
    assert len(told) == 1
    assert "step-00000004" in told[0]


def test_a_write_that_was_cut_off_leaves_no_checkpoint_and_is_swept_up_by_the_next(tmp_path: Path) -> None:
    partial = tmp_path / ".step-00000004.partial"
    partial.mkdir()
    (partial / "weights.safetensors").write_bytes(b"half")
    assert checkpoints.latest(tmp_path, _no_warning) is None
    checkpoints.save(tmp_path, _progress(4), WEIGHTS, MOMENTS)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000004"]


def test_a_full_disk_is_told_with_path_and_sizes_and_the_checkpoint_before_stays(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, _progress(2), WEIGHTS, MOMENTS)
    large = {"projector.weight": torch.randn(1024, 512)}
    with _full_disk(), pytest.raises(CheckpointError, match=r"step-00000004.*needs 2\.0 MiB.*MiB are free"):
        checkpoints.save(tmp_path, _progress(4), large, {})
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]
    found = checkpoints.latest(tmp_path, _no_warning)
    assert found is not None
    assert found.progress.step == 2


def test_a_damaged_checkpoint_is_replaced_when_its_step_comes_again(tmp_path: Path) -> None:
    path = checkpoints.save(tmp_path, _progress(2), WEIGHTS, MOMENTS)
    (path / "state.json").write_text("{")
    checkpoints.save(tmp_path, _progress(2), WEIGHTS, MOMENTS)
    found = checkpoints.latest(tmp_path, _no_warning)
    assert found is not None
    assert found.progress == _progress(2)

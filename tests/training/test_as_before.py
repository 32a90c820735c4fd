"""A resumed run keeps its threads, and says what is not as it was."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from modalink.errors import CheckpointError
from modalink.settings import RunSettings
from modalink.training.as_before import as_before
from modalink.training.launch import cores

CPU = torch.device("cpu")


def _run(folder: Path, environment: Any) -> Path:
    (folder / "manifest.json").write_text(json.dumps({"parts": [], "environment": environment}))
    return folder


def test_threads_are_kept_and_fewer_cores_are_told(tmp_path: Path) -> None:
    run = _run(tmp_path, {"device": "cpu", "threads": cores() + 1, "processes": 1, "python": "3"})
    assert as_before(run, RunSettings(), CPU) == [
        f"the run keeps its {cores() + 1} threads, for the same bits; on the {cores()} cores here that is slower"
    ]
    assert torch.get_num_threads() == cores() + 1


def test_what_is_set_wins_and_is_told(tmp_path: Path) -> None:
    run = _run(tmp_path, {"device": "NVIDIA H200", "threads": 3, "processes": 2})
    torch.set_num_threads(1)
    found = as_before(run, RunSettings(threads=1), CPU)
    assert [line.partition(" until now")[0] for line in found] == [
        "threads: found 1, and the run had 3",
        "processes: found 1, and the run had 2",
        "device: found cpu, and the run had NVIDIA H200",
    ]


def test_a_run_that_has_not_begun_changes_nothing(tmp_path: Path) -> None:
    assert as_before(tmp_path, RunSettings(), CPU) == []


@pytest.mark.parametrize(
    "environment", [None, [], {"device": "cpu", "threads": -1}, {"device": "cpu", "threads": 10**9}]
)
def test_a_damaged_manifest_is_told(tmp_path: Path, environment: Any) -> None:
    with pytest.raises(CheckpointError, match=r"manifest\.json: .*restore"):
        as_before(_run(tmp_path, environment), RunSettings(), CPU)

"""Two processes learn what one learns."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from modalink.recipe import Recipe
from modalink.training.train import train

CHILD = str(Path(__file__).with_name("child.py"))


def test_two_processes_train_the_weights_that_one_trains(
    make_recipe: Callable[..., Recipe], data: dict[str, str], tmp_path: Path
) -> None:
    watched = {"every": 3, "data": [{"source": "messages", "path": data["ask"]}], "samples": 5}
    best = {"metric": "loss", "mode": "min"}
    recipe = make_recipe(micro_batch=1, batch=3, evaluate=watched | {"keep_best": best})
    one, two = tmp_path / "one", tmp_path / "two"
    train(recipe, one)
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launch, CHILD, str(tmp_path / "recipe.yaml"), str(two)],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    for stage in ("pretrain", "instruct"):
        lines = [
            [json.loads(x) for x in (run / stage / "metrics.jsonl").read_text().splitlines()] for run in (one, two)
        ]
        evaluations = [[line for line in found if "evaluation" in line] for found in lines]
        steps = [[line for line in found if "evaluation" not in line] for found in lines]
        assert len(steps[0]) == len(steps[1]) == 6
        assert [line["step"] for line in evaluations[1]] == [3, 6]
        for alone, together in zip(*evaluations, strict=True):
            assert together["evaluation"] == pytest.approx(alone["evaluation"], rel=1e-3)
        assert (two / stage / "checkpoints" / "best" / "state.json").exists()
        for alone, together in zip(*steps, strict=True):
            assert together["losses"] == pytest.approx(alone["losses"], rel=1e-3)
            assert together["units"] == alone["units"]
        ledgers = [(run / stage / "ledger.jsonl").read_text() for run in (one, two)]
        assert ledgers[0] == ledgers[1]
    weights = [load_file(run / "model" / "model.safetensors") for run in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-2, atol=2e-3)

"""Held-out pairs: the share whose better reply wins, with its standard error."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from modalink.recipe import Recipe
from modalink.training.train import train


@pytest.mark.parametrize("objective", ["dpo", "simpo"])
def test_an_evaluation_reports_the_share_of_pairs_that_are_won(
    make_recipe: Callable[..., Recipe], prefer, judged: dict[str, str], tmp_path: Path, objective: str
) -> None:
    watched = {
        "every": 8,
        "data": [{"source": "preferences", "path": judged["pairs"]}],
        "samples": 6,
        "keep_best": {"metric": f"accuracy.{objective}", "mode": "max"},
    }
    stage = prefer(batch=6, micro_batch=2, steps=8, objectives=[{"kind": objective}], evaluate=watched)
    run = train(make_recipe(stage), tmp_path / "run")
    lines = [json.loads(line) for line in (run / "prefer" / "metrics.jsonl").read_text().splitlines()]
    (numbers,) = (line["evaluation"] for line in lines if "evaluation" in line)
    share = numbers[f"accuracy.{objective}"]
    assert share in (pytest.approx(5 / 6), 1.0)  # it is evaluated on what it learned
    # Of n numbers of which a share is 1: sqrt(share (1 - share) / (n - 1)).
    assert numbers[f"accuracy_error.{objective}"] == pytest.approx(math.sqrt(share * (1 - share) / 5))
    assert (run / "prefer" / "checkpoints" / "best" / "state.json").exists()

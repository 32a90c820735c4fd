"""The moving average of what a stage trains: what it is, that it is handed on, and that a stopped run keeps it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import Tensor, nn

from modalink.errors import CheckpointError
from modalink.recipe import Init, Recipe
from modalink.runs import checkpoints
from modalink.runs.saved_weights import find
from modalink.training.events import Event, StepDone
from modalink.training.moving_average import MovingAverage
from modalink.training.train import train

DECAY = 0.75


class Stopped(Exception):
    """Ends a run as a failure of the machine would."""


def test_it_is_the_weighted_mean_of_all_weights_there_were() -> None:
    weight = nn.Parameter(torch.tensor([1.0, 8.0], dtype=torch.float64))
    average = MovingAverage({"w": weight}, DECAY)
    for step, value in ((2, 5.0), (99, 9.0)):  # of which the average keeps 3 / 12, and the decay
        weight.data.fill_(value)
        average.update(step)
    expected = DECAY * (0.25 * torch.tensor([1.0, 8.0]) + 0.75 * 5.0) + (1 - DECAY) * 9.0
    torch.testing.assert_close(average.tensors["w"], expected.double(), rtol=1e-12, atol=0)
    with average.in_place():
        torch.testing.assert_close(weight.data, expected.double(), rtol=1e-12, atol=0)
    assert weight.tolist() == [9.0, 9.0]
    average.settle()
    torch.testing.assert_close(weight.data, expected.double(), rtol=1e-12, atol=0)


def test_an_average_of_other_parameters_is_refused() -> None:
    average = MovingAverage({"w": nn.Parameter(torch.zeros(2))}, DECAY)
    with pytest.raises(CheckpointError, match="found an average of 0 parameters, needed the 1 that the stage trains"):
        average.load({})


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.1])
def test_a_decay_is_between_none_and_all(make_recipe: Callable[..., Recipe], decay: float) -> None:
    with pytest.raises(ValidationError, match="ema"):
        make_recipe(ema=decay)


@pytest.fixture(scope="module")
def recipe(make_recipe: Callable[..., Recipe], pretrain, data: dict[str, str]) -> Recipe:
    """One stage with an average, checkpoints and a validation loss every second step."""
    source = {"source": "messages", "path": data["ask"]}
    evaluate = {"every": 2, "data": [source], "samples": 2, "keep_best": {"metric": "loss", "mode": "min"}}
    return make_recipe(pretrain(steps=4), ema=DECAY, checkpoint_every=2, evaluate=evaluate)


@pytest.fixture(scope="module")
def whole(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that never stopped."""
    return train(recipe, tmp_path_factory.mktemp("whole") / "run")


def _checkpoint(run: Path, step: int) -> dict[str, dict[str, Tensor]]:
    folder = run / "pretrain" / "checkpoints" / f"step-{step:08d}"
    return {name: load_file(folder / name) for name in (checkpoints.WEIGHTS, checkpoints.AVERAGE)}


def _evaluations(run: Path) -> list[dict[str, float]]:
    lines = map(json.loads, (run / "pretrain" / "metrics.jsonl").read_text().splitlines())
    return [line["evaluation"] for line in lines if "evaluation" in line]


def test_what_a_stage_hands_on_is_its_average(whole: Path) -> None:
    kept = _checkpoint(whole, 4)
    model = load_file(whole / "model" / "model.safetensors")
    for name, tensor in kept[checkpoints.AVERAGE].items():
        assert torch.equal(model[name], tensor)
        assert not torch.equal(tensor, kept[checkpoints.WEIGHTS][name])
    lent = find(Init.model_validate({"from": str(whole), "stage": "pretrain"}), print)
    assert all(torch.equal(lent.tensors()[name], tensor) for name, tensor in kept[checkpoints.AVERAGE].items())


def test_what_is_evaluated_and_kept_as_best_is_the_average(recipe: Recipe, whole: Path, tmp_path: Path) -> None:
    best = load_file(whole / "pretrain" / "checkpoints" / checkpoints.BEST / checkpoints.WEIGHTS)
    averages = [_checkpoint(whole, step)[checkpoints.AVERAGE] for step in (2, 4)]
    assert any(all(torch.equal(best[name], average[name]) for name in best) for average in averages)
    without = recipe.model_copy(update={"stages": [recipe.stages[0].replace(ema=None)]})
    plain = train(without, tmp_path / "plain")
    assert [e["loss"] for e in _evaluations(plain)] != [e["loss"] for e in _evaluations(whole)]
    # The average changes nothing of what is learned.
    weights = load_file(plain / "pretrain" / "checkpoints" / "step-00000004" / checkpoints.WEIGHTS)
    assert all(
        torch.equal(tensor, weights[name]) for name, tensor in _checkpoint(whole, 4)[checkpoints.WEIGHTS].items()
    )


def test_a_run_that_broke_off_ends_with_the_same_average_to_the_bit(
    recipe: Recipe, whole: Path, tmp_path: Path
) -> None:
    def fail(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == 3:
            raise Stopped

    run = tmp_path / "run"
    with pytest.raises(Stopped):
        train(recipe, run, on_event=fail)
    train(recipe, run)
    assert (run / "model" / "model.safetensors").read_bytes() == (whole / "model" / "model.safetensors").read_bytes()
    assert _evaluations(run) == _evaluations(whole)
    # Of a stage that is done its average is what the next one starts from.
    (run / "model").rename(tmp_path / "aside")
    train(recipe, run)
    assert (run / "model" / "model.safetensors").read_bytes() == (whole / "model" / "model.safetensors").read_bytes()

"""Weighted sums over data sets: one update by the mean of each."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch

from modalink.features.cache import FeatureCache
from modalink.model import Prepared, compose
from modalink.recipe import Recipe
from modalink.recipe.tiny import tiny_form
from modalink.training.freezing import freeze
from modalink.training.interrupts import StopRequest
from modalink.training.loop import Run
from modalink.training.opening import make_learner, open_loader
from modalink.training.step import Learner
from modalink.training.train import train

WEIGHTS = (2.0, 0.25)


@pytest.fixture
def weighed(
    make_recipe: Callable[..., Recipe], instruct: Callable[..., dict], data: dict[str, str]
) -> Callable[..., Recipe]:
    """Two data sets; six questions and two requests to draw in each step, in an order that mixes them."""

    def make(*weights: float | None, **changes: Any) -> Recipe:
        paths = zip(("ask", "draw"), (3.0, 1.0), weights, strict=True)
        sources = [
            {"source": "messages", "path": data[name], "weight": share, "loss_weight": weight}
            for name, share, weight in paths
        ]
        objectives = [{"kind": "language", "weight": 0.5}, {"kind": "align"}]
        own = {"data": sources, "mixture": "ratio", "batch": 8, "objectives": objectives}
        return make_recipe(instruct(**own, **changes))

    return make


@pytest.fixture
def start(weighed: Callable[..., Recipe], tmp_path: Path) -> Callable[..., tuple[Learner, list[Prepared]]]:
    def make(*weights: float | None, **changes: Any) -> tuple[Learner, list[Prepared]]:
        recipe = weighed(*weights, **changes)
        system = compose(recipe, seed=0)
        run = Run(tmp_path, recipe, system, FeatureCache(), torch.device("cpu"), lambda event: None, StopRequest())
        stage = recipe.stages[0]
        trained = freeze(system.model, system.model.trainable_groups(), stage.train)
        with ExitStack() as stack:
            batches = open_loader(run, stage, tmp_path, stack).batches()
            samples = next(batches)
            batches.close()
        return make_learner(run, stage, trained, steps=10), samples

    return make


def gradients(learner: Learner, samples: list[Prepared]) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    parts = learner.micro_batches(samples)
    losses, _ = learner.gradients(0, parts, learner.counts([part.batch for part in parts]))
    return {name: p.grad.clone() for name, p in learner.weights.items() if p.grad is not None}, losses


@pytest.mark.parametrize("size", [None, 1, 2])
def test_the_gradient_is_the_weighted_sum_of_those_of_each_set(start: Callable[..., Any], size: int | None) -> None:
    plain, samples = start(None, None)
    each = [[sample for sample in samples if sample.source == number] for number in (0, 1)]
    assert [len(own) for own in each] == [6, 2] and [s.source for s in samples] != sorted(s.source for s in samples)
    alone = [gradients(plain, own) for own in each]
    learner, samples = start(*WEIGHTS, micro_batch=size)
    found, losses = gradients(learner, samples)
    assert losses.keys() == {"language.0", "language.1", "align.1"}
    assert losses["language.0"] == pytest.approx(alone[0][1]["language"], rel=1e-5)
    assert losses["align.1"] == pytest.approx(alone[1][1]["align"], rel=1e-5)
    for name, gradient in found.items():
        parts = [
            own[0].get(name, torch.zeros_like(gradient)) * weight for own, weight in zip(alone, WEIGHTS, strict=True)
        ]
        torch.testing.assert_close(gradient, sum(parts), rtol=1e-4, atol=1e-6)


def test_noise_belongs_to_a_sample_wherever_its_set_stands(start: Callable[..., Any]) -> None:
    learner, samples = start(*WEIGHTS, micro_batch=1)
    placed = {part.batch.samples[0]: part.positions[0] for part in learner.micro_batches(samples)}
    assert placed == {sample.id: place for place, sample in enumerate(samples)}


def test_without_weights_nothing_is_apart(start: Callable[..., Any]) -> None:
    learner, samples = start(None, None)
    assert len(learner.micro_batches(samples)) == 1
    assert gradients(learner, samples)[1].keys() == {"language", "align"}


def test_a_stage_learns_by_them(weighed: Callable[..., Recipe], tmp_path: Path) -> None:
    losses: list[dict[str, Any]] = []
    train(weighed(1.0, 0.2, steps=4), tmp_path / "run", on_event=lambda e: losses.append(getattr(e, "record", {})))
    (first, *_, last) = [record for record in losses if record]
    assert last["loss"] < first["loss"]
    total = (
        0.5 * (first["losses"]["language.0"] + 0.2 * first["losses"]["language.1"]) + 0.2 * first["losses"]["align.1"]
    )
    assert first["loss"] == pytest.approx(total)


def test_a_set_that_a_batch_cannot_hold_is_told_and_the_tiny_form_keeps_the_weights(
    weighed: Callable[..., Recipe],
) -> None:
    with pytest.raises(ValueError, match=r"a batch of 2 holds 0\.5 of its samples, needed one at least"):
        _small(weighed)
    (stage,) = tiny_form(weighed(1.0, 0.2))["stages"]
    assert [source["loss_weight"] for source in stage["data"]] == [1.0, 0.2] and stage["mixture"] == "ratio"


def _small(weighed: Callable[..., Recipe]) -> Recipe:
    data = weighed(1.0, 0.2).to_dict()
    data["stages"][0]["batch"] = 2
    return Recipe.model_validate(data)

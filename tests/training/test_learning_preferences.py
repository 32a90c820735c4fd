"""Each objective about judged replies learns in a stage: exactly what is trained, from the loss that is known."""

import math
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch

from modalink.features.cache import FeatureCache
from modalink.model import Prepared, compose
from modalink.recipe import Recipe
from modalink.training import parallel
from modalink.training.freezing import freeze
from modalink.training.interrupts import StopRequest
from modalink.training.loop import Run
from modalink.training.opening import make_learner, open_loader
from modalink.training.statistics import MISMATCHED
from modalink.training.step import Learner

LN2 = math.log(2)
STARTS: list[tuple[dict[str, Any], str, float]] = [
    ({"kind": "dpo", "loss": "ipo", "beta": 0.5}, "pairs", 1.0),
    ({"kind": "ddpo"}, "pairs", LN2),
    ({"kind": "mdpo"}, "pairs", 3 * LN2),
    ({"kind": "povid"}, "pairs", LN2),
    ({"kind": "v_dpo"}, "pairs", LN2),
    ({"kind": "bco"}, "pairs", 2 * LN2),
    ({"kind": "kto", "beta": 0.5}, "marked", 0.5),
    ({"kind": "kto", "beta": 0.5}, "pairs", 0.5),
]


@pytest.fixture
def start(make_recipe: Callable[..., Recipe], prefer, judged: dict[str, str], tmp_path: Path):
    def make(objectives: list[dict[str, Any]], file: str, **changes: Any) -> tuple[Learner, list[Prepared]]:
        sources = [{"source": "preferences", "path": judged[file]}]
        recipe = make_recipe(prefer(objectives=objectives, data=sources, batch=4, **changes))
        system = compose(recipe, seed=0)
        run = Run(tmp_path, recipe, system, FeatureCache(), torch.device("cpu"), lambda event: None, StopRequest())
        stage = recipe.stages[0]
        trained = freeze(system.model, system.model.trainable_groups(), stage.train, dropout=stage.dropout)
        with ExitStack() as stack:
            batches = open_loader(run, stage, tmp_path, stack).batches()
            samples = next(batches)
            batches.close()
        return make_learner(run, stage, trained, steps=20), samples

    return make


@pytest.mark.parametrize(("objective", "file", "constant"), STARTS, ids=lambda value: str(value)[:40])
def test_what_is_measured_by_the_start_begins_at_its_constant_and_falls(
    start, objective: dict[str, Any], file: str, constant: float
) -> None:
    learner, samples = start([objective], file)
    records = [learner.learn(step, samples) for step in range(4)]
    assert records[0]["losses"][objective["kind"]] == pytest.approx(constant, abs=1e-4)
    assert records[-1]["losses"][objective["kind"]] < constant - 0.01
    assert all(norm > 0 for norm in records[-1]["grad_norms"].values())
    learned = {name for name, parameter in learner.system.model.named_parameters() if parameter.requires_grad}
    assert learned == set(learner.weights)
    with_gradients = {n for n, p in learner.system.model.named_parameters() if p.grad is not None}
    assert with_gradients == learned


@pytest.mark.parametrize("kind", ["orpo", "simpo", "cpo", "rrhf"])
def test_what_needs_no_reference_learns_beside_language(start, kind: str) -> None:
    learner, samples = start([{"kind": "language", "per": "reply"}, {"kind": kind}], "pairs")
    records = [learner.learn(step, samples) for step in range(4)]
    assert learner.reference is None
    assert records[0]["units"] == {"language": 4, kind: 4}
    assert records[-1]["loss"] < records[0]["loss"]


@pytest.mark.parametrize("micro_batch", [1, 2])
def test_however_a_step_is_cut_its_statistics_are_those_of_the_whole(start, micro_batch: int) -> None:
    objectives = [{"kind": "kto", "beta": 0.5}, {"kind": "bco"}]
    (whole, samples), (cut, same) = start(objectives, "pairs"), start(objectives, "pairs", micro_batch=micro_batch)
    assert [sample.id for sample in samples] == [sample.id for sample in same]
    for learner in (whole, cut):
        with torch.no_grad():
            for parameter in learner.parameters:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    records = [learner.learn(0, samples) for learner in (whole, cut)]
    assert whole.noted["kto"]["moved"] != 0 or whole.noted["bco"]["delta"] != 0
    for name in ("kto", "bco"):
        assert cut.noted[name] == pytest.approx(whole.noted[name], rel=1e-3, abs=1e-5)
    assert records[1]["losses"] == pytest.approx(records[0]["losses"], rel=1e-3)
    assert records[1]["grad_norms"] == pytest.approx(records[0]["grad_norms"], rel=1e-2)


def test_each_sample_is_read_with_the_reply_of_the_next_one_of_the_step(start) -> None:
    learner, samples = start([{"kind": "kto"}], "pairs")
    matched = learner.division.matched(samples, parallel.positions(len(samples)))
    for number, sample in enumerate(matched):
        (other,) = (side for side in sample.sides if side.judgement.variant == MISMATCHED)
        after = samples[(number + 1) % len(samples)]
        assert [t for t in other.labels if t >= 0] == [t for t in after.labels if t >= 0]
        first = next(n for n, label in enumerate(other.labels) if label >= 0)
        assert other.input_ids[:first] == sample.input_ids[:first]
        assert other.media == sample.media
    (alone,) = learner.division.matched(samples[:1], [0])
    assert alone is samples[0]

"""Regression of an encoder's features."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from docs.tools.seeded import drawn
from modalink.errors import TrainingError
from modalink.features.cache import FeatureCache
from modalink.model import compose
from modalink.model.batch import Batch
from modalink.model.collating import collate
from modalink.model.items import Item, ragged
from modalink.model.prepared import Prepared
from modalink.projectors.outputs.mlp import MlpOutputConfig
from modalink.ragged import Layout, Ragged
from modalink.recipe import Recipe
from modalink.roles import Conditions
from modalink.training.caching.plan import plans
from modalink.training.freezing import freeze
from modalink.training.interrupts import StopRequest
from modalink.training.loop import Run
from modalink.training.objectives import Output
from modalink.training.objectives.feature_regression import FeatureRegressionConfig
from modalink.training.opening import make_learner, open_loader
from modalink.training.randomness import ItemRngs
from modalink.training.step import Learner
from modalink.training.train import train

RNGS = ItemRngs(0, 0, [0])
CPU = torch.device("cpu")
REGRESSION = {"kind": "feature_regression", "distance": "mse"}


def batch_of(*shown: bool, loss: bool = True) -> Batch:
    def item(seen: bool) -> Item:
        return Item.of(torch.ones(1, 3, 2, 2), loss=loss)

    items = [replace(item(seen), shown=item(seen) if seen else None) for seen in shown]
    return collate([Prepared("a", [1, 2], [-100, 2], targets={"image": items})], packed=True, pad_id=0)


def output(made: torch.Tensor, *features: torch.Tensor, **others: torch.Tensor) -> Output:
    seen = Ragged.of([*features], [Layout.of_units(len(feature)) for feature in features])
    return Output(conditions={"image": Conditions({"tokens": made, **others})}, target_features={"image": seen})


@pytest.mark.parametrize(("distance", "expected"), [("cosine", 1 + 0.021342992782592773 / 0.1), ("mse", 1.7691959)])
def test_its_numbers_are_those_of_codi_2(distance: Any, expected: float) -> None:
    """On the states before three slots: `feature_loss` of its `clip` kind, without the weight of 0.1, and of `vae`.

    Made by its lines with the same seeded weights of a `codi_llama_decode` of 8 to 6 numbers.
    """
    projector = MlpOutputConfig(width=6, norm=False, norm_inside=True).build(
        dim_in=8, dim_out=6, tokens_in=1, tokens_out=1
    )
    with torch.no_grad():
        for name, parameter in projector.named_parameters():
            number = int(name.split(".")[1]) - 1  # ours has a place for a norm in front
            parameter.copy_(
                drawn(name.replace(name.split(".")[1], str(number)).removeprefix("layers."), parameter.shape)
            )
    states, features = drawn("hidden", (2, 5, 8)) * 8**0.5, drawn("features", (3, 6)) * 6**0.5
    made = projector(states[[0, 0, 1], [1, 3, 2], None])
    objective = FeatureRegressionConfig(distance=distance)
    batch = batch_of(True, True, True)
    found = objective.sum(output(made, *features[:, None]), batch, {}, RNGS)
    assert objective.count(batch) == 3
    assert found.item() / 3 == pytest.approx(expected, abs=1e-6)


def test_its_units_are_learned_targets_that_the_encoder_has_seen() -> None:
    assert FeatureRegressionConfig().count(batch_of(True, False)) == 1
    assert FeatureRegressionConfig(modalities=("audio",)).count(batch_of(True)) == 0
    assert FeatureRegressionConfig().count(batch_of(True, loss=False)) == 0
    made, batch = torch.stack([torch.full((1, 2), 9.0), torch.tensor([[0.0, 1.0]])]), batch_of(False, True)
    found = FeatureRegressionConfig().sum(output(made, torch.tensor([[0.0, 5.0]])), batch, {}, RNGS)
    assert found == pytest.approx(0.0, abs=1e-6)


def test_as_many_tokens_are_compared_one_by_one_and_else_their_means() -> None:
    batch, objective = batch_of(True), FeatureRegressionConfig(distance="mse")
    made = torch.tensor([[[1.0, 1.0], [3.0, 3.0]]])
    for features, expected in (([[1.0, 1.0], [1.0, 1.0]], 2.0), ([[5.0, 5.0]], 9.0), ([[0.0, 0.0]] * 3, 4.0)):
        assert objective.sum(output(made, torch.tensor(features)), batch, {}, RNGS) == pytest.approx(expected)


def test_what_cannot_be_compared_is_told() -> None:
    made = torch.ones(1, 1, 2)
    with pytest.raises(
        TrainingError, match=r"outputs.image: found a condition of width 2 and image features of width 3"
    ):
        FeatureRegressionConfig().sum(output(made, torch.ones(1, 3)), batch_of(True), {}, RNGS)
    two = output(made, torch.ones(1, 3), pooled=torch.ones(1, 3))
    with pytest.raises(TrainingError, match="the generator reads tokens, pooled; say by `condition` which"):
        FeatureRegressionConfig().sum(two, batch_of(True), {}, RNGS)
    assert FeatureRegressionConfig(condition="pooled").sum(two, batch_of(True), {}, RNGS) == pytest.approx(0, abs=1e-6)


@pytest.fixture
def recipe(make_recipe: Callable[..., Recipe], instruct: Callable[..., dict[str, Any]]) -> Callable[..., Recipe]:
    def make(**changes: Any) -> Recipe:
        own = {"objectives": [REGRESSION], "train": {"outputs.image.projector": {"lr": 1e-2}}}
        return make_recipe(instruct(**own | changes))

    return make


@pytest.fixture
def start(recipe: Callable[..., Recipe], tmp_path: Path) -> Callable[..., tuple[Learner, list[Prepared]]]:
    def make(**changes: Any) -> tuple[Learner, list[Prepared]]:
        made = recipe(**changes)
        system = compose(made, seed=0)
        run = Run(tmp_path, made, system, FeatureCache(), CPU, lambda event: None, StopRequest())
        trained = freeze(system.model, system.model.trainable_groups(), made.stages[0].train)
        with ExitStack() as stack:
            batches = open_loader(run, made.stages[0], tmp_path, stack).batches()
            samples = next(batches)
            batches.close()
        return make_learner(run, made.stages[0], trained, steps=10), samples

    return make


def test_the_gradient_reaches_what_makes_the_condition_however_the_step_is_cut(start: Callable[..., Any]) -> None:
    found = []
    rates = {group: {"lr": 1e-2} for group in ("outputs.image.projector", "llm.new_tokens")}
    for size in (None, 1):
        learner, samples = start(micro_batch=size, objectives=[{"kind": "language"}, REGRESSION], train=rates)
        parts = learner.micro_batches(samples)
        counts = learner.counts([part.batch for part in parts])
        losses, norms = learner.gradients(0, parts, counts)
        assert counts["feature_regression"] == sum(bool(sample.targets) for sample in samples)
        held = {name for name, p in learner.system.model.named_parameters() if p.grad is not None}
        assert held == learner.weights.keys() and min(norms.values()) > 0
        found.append((losses, norms))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-4)


def test_what_is_compared_is_the_encoders_output_of_the_target(start: Callable[..., Any]) -> None:
    learner, samples = start()
    (part,) = learner.micro_batches(samples)
    features = learner.forward(0, part)[0].target_features["image"]
    targets = [item for sample in samples for item in sample.targets.get("image", ())]
    assert [target.shown.digest for target in targets] == [target.digest for target in targets]
    direct = learner.system.model.encode("image", ragged([target.shown for target in targets]))
    torch.testing.assert_close(features.values, direct.values.detach())


def test_a_stage_learns_it(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    losses = []
    train(recipe(steps=12), tmp_path / "run", on_event=lambda e: losses.append(getattr(e, "record", {}).get("loss")))
    losses = [loss for loss in losses if loss is not None]
    assert losses[-1] < 0.8 * losses[0]


def test_other_stages_do_not_read_targets_as_an_encoder_would(start: Callable[..., Any]) -> None:
    _, samples = start(objectives=[{"kind": "align"}])
    assert all(item.shown is None for sample in samples for item in sample.targets.get("image", ()))


def test_it_needs_a_frozen_encoder_of_what_is_made(recipe: Callable[..., Recipe]) -> None:
    with pytest.raises(ValueError, match="compares with the frozen encoder of what is made, and this stage trains it"):
        recipe(train={"inputs.image.encoder": {"lr": 1e-3}, "outputs.image.projector": {"lr": 1e-3}})
    with pytest.raises(ValueError, match="the recipe does not both read and make audio"):
        recipe(objectives=[{"kind": "feature_regression", "modalities": ["audio"]}])
    data = recipe().to_dict()
    data["inputs"] = {"audio": data["inputs"]["image"] | {"encoder": {"kind": "whisper", "checkpoint": "zoo:audio"}}}
    with pytest.raises(ValueError, match="the recipe makes image and reads audio: give it an input"):
        Recipe.model_validate(data)
    assert plans(recipe(), {}, CPU)[0].reads == ("image",)

"""Links start from what is known before their first step."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch

from modalink.features.cache import FeatureCache
from modalink.features.compute import Once
from modalink.model import compose
from modalink.recipe import Recipe
from modalink.training.freezing import freeze
from modalink.training.frozen import frozen_generators
from modalink.training.interrupts import StopRequest
from modalink.training.loop import Run
from modalink.training.mean_start import centre
from modalink.training.opening import open_loader
from modalink.training.train import train
from tests.support.duet import DuetConfig

MIXER = {"kind": "mixer", "values": 8, "groups": 2, "width": 8, "heads": 2, "feed_forward": 8}


HEADS = {"kind": "heads", "width": 8, "trunk": MIXER}


def _recipe(make_recipe: Callable[..., Recipe], *stages: dict, **output: Any) -> Recipe:
    recipe = make_recipe(*stages).to_dict()
    recipe["outputs"]["image"] |= {"projector": MIXER} | output
    return Recipe.model_validate(recipe)


def test_a_new_mixer_starts_at_the_mean_of_the_captions_conditions(
    make_recipe: Callable[..., Recipe], instruct: Callable[..., dict], tmp_path: Path
) -> None:
    recipe = _recipe(make_recipe, instruct(batch=4))
    system = compose(recipe, seed=0)
    run = Run(tmp_path, recipe, system, FeatureCache(), torch.device("cpu"), lambda event: None, StopRequest())
    with ExitStack() as stack:
        batches = iter(open_loader(run, recipe.stages[0], tmp_path, stack))
        samples = next(batches)
        batches.close()
    projector = system.model.output_projectors["image"]
    trained = freeze(system.model, system.model.trainable_groups(), recipe.stages[0].train)
    generators = frozen_generators(system, Once(FeatureCache(), torch.float32, torch.device("cpu")))

    centre(system.model, [], generators, samples)
    assert not projector.centred, "a stage that does not train it leaves it alone"
    centre(system.model, trained, generators, samples)

    captions = [item.caption for sample in samples for item in sample.targets.get("image", ())]
    assert captions
    torch.testing.assert_close(
        projector.offset.detach(), system.generators["image"].encode_text(captions)["tokens"].mean(0)
    )
    projector.centre(torch.ones_like(projector.offset))
    centre(system.model, trained, generators, samples)
    assert (projector.offset == 1).all(), "one that has a mean keeps it"


def test_training_centres_before_the_first_step(
    make_recipe: Callable[..., Recipe], instruct: Callable[..., dict], tmp_path: Path
) -> None:
    recipe = _recipe(make_recipe, instruct(batch=4, steps=1))
    system = compose(recipe, seed=0)
    train(recipe, tmp_path / "run", system=system)
    assert system.model.output_projectors["image"].offset.abs().max() > 0.1


@pytest.mark.parametrize("generator", [None, {"kind": "duet"}])
def test_heads_start_at_the_mean_of_each_condition(make_recipe, instruct, install, tmp_path: Path, generator) -> None:
    install(DuetConfig)
    output = {"projector": HEADS} | ({"generator": generator} if generator else {})
    objectives = [{"kind": "language"}, {"kind": "align"}]
    system = compose(
        recipe := _recipe(make_recipe, instruct(batch=4, steps=1, objectives=objectives), **output), seed=0
    )
    train(recipe, tmp_path / "run", system=system)
    heads = system.model.output_projectors["image"].heads
    assert heads.keys() == ({"words", "style"} if generator else {"one"})
    for head in heads.values():
        assert head.offset.abs().max() > 0.1, "a step of 1e-3 does not bring it there"

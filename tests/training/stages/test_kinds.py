"""Kinds of stage: supervised unless a recipe says otherwise, and others come without touching modalink."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
import yaml

from modalink.model import System
from modalink.recipe import Recipe
from modalink.training.loop import Run
from modalink.training.stages import StageConfig
from modalink.training.stages.supervised import SupervisedConfig
from modalink.training.train import train
from tests.support.plug_in import Install


class OnesConfig(StageConfig):
    """A kind that knows the answer: all that it trains becomes one number."""

    kind: Literal["ones"] = "ones"
    value: float = 1.0

    def run(self, run: Run) -> None:
        groups = run.system.model.trainable_groups()
        with torch.no_grad():
            for group in self.train:
                for _, parameter in groups[group]:
                    parameter.fill_(self.value)


def test_a_stage_without_a_kind_is_supervised(make_recipe: Callable[..., Recipe], pretrain) -> None:
    (stage,) = make_recipe(pretrain()).stages
    assert isinstance(stage, SupervisedConfig)
    assert yaml.safe_load(make_recipe(pretrain()).to_yaml())["stages"][0]["kind"] == "supervised"


def test_an_unknown_kind_is_answered_with_those_there_are(make_recipe: Callable[..., Recipe], pretrain) -> None:
    with pytest.raises(ValueError, match=r"unknown kind of training\.stages 'supervise'; did you mean 'supervised'"):
        make_recipe(pretrain(kind="supervise"))


def test_a_plug_in_brings_a_kind_with_settings_of_its_own(
    install: Install, make_recipe: Callable[..., Recipe], pretrain, tmp_path: Path
) -> None:
    install(OnesConfig)
    recipe = make_recipe(pretrain(steps=1), pretrain(name="known", kind="ones", value=2.0))
    assert Recipe.model_validate(yaml.safe_load(recipe.to_yaml())) == recipe
    run = train(recipe, tmp_path / "run")
    assert [(run / stage / "metrics.jsonl").exists() for stage in ("pretrain", "known")] == [True, False]
    model = System.load(run / "model").model
    assert all((p == 2.0).all() for p in model.model.input_projectors.parameters())

"""Adapters in an encoder are trained by a run, saved beside a reference to it, and resumed to the bit."""

import numpy as np
import pytest
import torch
from PIL import Image

import modalink
from modalink.model import compose
from modalink.recipe import Recipe
from modalink.recipe.groups import Group
from modalink.recipe.tiny import tiny_form
from modalink.training.caching.plan import plans
from modalink.training.events import StepDone
from modalink.training.train import train
from tests.support.little_recipes import metrics, recipe_of, record, vision, write_records

GROUP = Group.encoder_lora("image")
LORA = {"rank": 2, "alpha": 4, "dropout": 0.3}
WINDOWS = {"grids": [[1, 2]], "fit": "stretch", "thumbnail": "last"}
KINDS = ["whole", "per window"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("lora")
    pixels = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path / "a.png")
    write_records(path, [record(str(n), "<image>What is it?", "a cube", images=["a.png"]) for n in range(4)])
    return path


def recipe_with(folder, kind, **stage):
    encoder = vision(folder) | {"lora": LORA}
    if kind == "per window":
        encoder = {"kind": "tiles", "encoder": vision(folder), "tiles": WINDOWS, "lora": LORA | {"per_window": True}}
    inputs = {"image": {"encoder": encoder, "projector": {"kind": "linear"}}}
    plain = recipe_of(folder, inputs, batch=2, steps=4, checkpoint_every=2, **stage).to_dict()
    plain["stages"][0]["train"] = {GROUP: {"lr": 1e-2}}
    return Recipe.model_validate(plain)


class Killed(Exception):
    """Nothing in training knows it, so nothing is saved."""


@pytest.fixture(scope="module", params=KINDS)
def trained(request, folder):
    """A recipe, and a run of it that nothing stopped."""
    recipe = recipe_with(folder, request.param)
    return recipe, train(recipe, folder / request.param)


def test_adapters_alone_learn_and_are_kept_beside_a_reference(folder, trained):
    recipe, run = trained
    first = compose(recipe, seed=recipe.seed).model.trainable_groups()
    loaded = modalink.load(run)
    model = loaded.system.model
    assert "inputs.image.encoder" in model.config.references
    after = model.trainable_groups()
    assert [name for name, start in first[GROUP] if torch.equal(start, dict(after[GROUP])[name])] == []
    for group in first.keys() - {GROUP}:
        assert all(torch.equal(start, dict(after[group])[name]) for name, start in first[group])
    saved = modalink.tensor_files.read(run / "model" / "model.safetensors", ValueError, remedy="")
    assert {name for name in saved if name.startswith("model.encoders.")} == {name for name, _ in first[GROUP]}
    assert isinstance(loaded.ask("What is it?", image=folder / "a.png", max_new_tokens=2).text, str)


def test_a_run_that_was_killed_resumes_to_the_bit(trained, tmp_path):
    recipe, unbroken = trained

    def kill(event):
        if isinstance(event, StepDone) and event.step == 3:
            raise Killed

    with pytest.raises(Killed):
        train(recipe, tmp_path / "run", on_event=kill)
    broken = train(recipe, tmp_path / "run")
    weights = [(run / "model" / "model.safetensors").read_bytes() for run in (unbroken, broken)]
    assert weights[0] == weights[1]
    numbers = [[(line["losses"], line["grad_norms"]) for line in metrics(run)] for run in (unbroken, broken)]
    assert numbers[0] == numbers[1] and len(numbers[0]) == 4


def test_an_encoder_whose_adapters_learn_is_not_cached(folder):
    recipe = recipe_with(folder, "whole")
    stages = recipe.to_dict()["stages"]
    links = stages[0] | {"name": "links", "train": {"inputs.image.projector": {"lr": 1e-2}}}
    several = recipe.replace(stages=[links, *stages, links | {"name": "again"}])
    reasons = {plan.stage.name: (plan.reads, " ".join(plan.notes)) for plan in plans(several, {}, torch.device("cpu"))}
    assert reasons["links"][0] == ("image",)
    assert reasons["learn"][0] == () and "its encoder learns in this stage" in reasons["learn"][1]
    assert reasons["again"][0] == () and "its encoder learns in the stage learn before" in reasons["again"][1]


@pytest.mark.parametrize("kind", KINDS)
def test_the_tiny_form_has_adapters_of_its_own(folder, kind):
    tiny = Recipe.model_validate(tiny_form(recipe_with(folder, kind)))
    lora = tiny.inputs["image"].encoder.lora
    assert (lora.rank, lora.targets, lora.per_window) == (2, None, kind == "per window")
    assert GROUP in tiny.stages[0].train


def test_a_stage_cannot_train_adapters_that_are_not_there(folder):
    plain = recipe_with(folder, "whole").to_dict()
    plain["inputs"]["image"]["encoder"]["lora"] = None
    with pytest.raises(ValueError, match=r"'inputs.image.encoder.lora'.*give the encoder adapters: lora: \{rank: 8"):
        Recipe.model_validate(plain)

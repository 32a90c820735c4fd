"""What learns in a frozen LLM, of every kind: trained by a run, saved beside a reference to the LLM, and found again."""

import numpy as np
import pytest
import torch
from PIL import Image

import modalink
from modalink.model import compose
from modalink.recipe import Recipe
from modalink.training.events import StageStarted, StepDone
from modalink.training.train import train
from tests.support.little_recipes import metrics, read_by, recipe_of, record, write_records

KINDS = [
    {"kind": "lora", "rank": 2, "alpha": 4, "dropout": 0.3},
    {"kind": "lora", "rank": 2, "alpha": 4, "dora": True},
    {"kind": "ia3"},
    {"kind": "layer_norm"},
    {"kind": "adapter", "width": 4},
    {"kind": "prefix", "tokens": 3},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("peft")
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path / "a.png")
    write_records(path, [record(str(n), "<image>What is it?", "a cube", images=["a.png"]) for n in range(4)])
    return path


def name_of(peft):
    return "dora" if peft.get("dora") else peft["kind"]


def recipe_with(folder, peft, group, **stage):
    plain = recipe_of(folder, read_by(folder, "image"), **stage).to_dict()
    plain["llm"]["peft"] = peft
    plain["stages"][0]["train"][group] = {"lr": 1e-2}
    return Recipe.model_validate(plain)


class Killed(Exception):
    """Nothing in training knows it, so nothing is saved."""


@pytest.fixture(scope="module", params=KINDS, ids=name_of)
def trained(request, folder):
    """Name of the group that learned, the recipe, and a run of it that nothing stopped."""
    group = "llm.lora" if request.param["kind"] == "lora" else "llm.peft"
    recipe = recipe_with(folder, request.param, group, batch=2, steps=4, checkpoint_every=2)
    return group, recipe, train(recipe, folder / name_of(request.param))


def test_a_run_trains_and_keeps_it_and_the_llm_stays_a_reference(folder, trained):
    group, recipe, run = trained
    first = compose(recipe, seed=recipe.seed)
    loaded = modalink.load(run)
    model = loaded.system.model
    assert "llm" in model.config.references
    before, after = first.model.trainable_groups()[group], dict(model.trainable_groups()[group])
    assert {name for name, _ in before} == after.keys()
    assert [name for name, start in before if torch.equal(start, after[name])] == []
    base = dict(model.trainable_groups()["llm"])
    assert all(torch.equal(start, base[name]) for name, start in first.model.trainable_groups()["llm"])
    assert isinstance(loaded.ask("What is it?", image=folder / "a.png", max_new_tokens=2).text, str)


def test_a_run_that_was_killed_resumes_to_the_bit(trained, tmp_path):
    _, recipe, unbroken = trained

    def kill(event):
        if isinstance(event, StepDone) and event.step == 3:
            raise Killed

    events = []
    with pytest.raises(Killed):
        train(recipe, tmp_path / "run", on_event=kill)
    broken = train(recipe, tmp_path / "run", on_event=events.append)
    assert [event.first_step for event in events if isinstance(event, StageStarted)] == [2]
    weights = [(run / "model" / "model.safetensors").read_bytes() for run in (unbroken, broken)]
    assert weights[0] == weights[1]
    numbers = [[(line["losses"], line["grad_norms"]) for line in metrics(run)] for run in (unbroken, broken)]
    assert numbers[0] == numbers[1] and len(numbers[0]) == 4


def test_a_group_that_the_llm_has_not_is_refused_with_what_to_write(folder):
    with pytest.raises(ValueError, match=r"llm\.peft.*give the LLM parameters of another kind than LoRA"):
        recipe_with(folder, None, "llm.peft")
    with pytest.raises(ValueError, match=r"'llm\.lora'.*what learns in this LLM is trained as llm\.peft"):
        recipe_with(folder, "ia3", "llm.lora")

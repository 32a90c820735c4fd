"""A system whose LLM is an encoder-decoder, at tiny size: it learns, its run is loaded, and it answers."""

import json
from pathlib import Path

import pytest

import modalink
from modalink.recipe import Recipe
from modalink.recipe.tiny import tiny_form
from modalink.tiny_world import render, sample_scene
from modalink.training.train import train
from tests.support.little_recipes import Block

PUBLISHED: Block = {
    "name": "flan-t5",
    "inputs": {
        "image": {
            "encoder": {"kind": "vision", "checkpoint": "openai/clip-vit-large-patch14", "layer": -2},
            "projector": {"kind": "mlp", "layers": 2},
        }
    },
    "llm": {"checkpoint": "google/flan-t5-xl", "lora": {"rank": 16, "alpha": 32, "targets": ["q", "v"]}},
    "prompt": {"template": "question-answer"},
    "stages": [
        {
            "name": "learn",
            "train": {"inputs.image.projector": {"lr": 2e-3}, "llm.lora": {"lr": 2e-3}},
            "objectives": [{"kind": "language"}],
            "data": [{"source": "llava_json", "path": "data.json"}],
            "batch": 128,
            "epochs": 1,
        }
    ],
}


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    small = tiny_form(Recipe.model_validate(PUBLISHED))
    stage = small["stages"][0] | {"steps": 8, "batch": 8, "precision": "float32"}
    return Recipe.model_validate(small | {"stages": [stage]})


@pytest.fixture(scope="module")
def run(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("run") / "run"
    train(recipe, folder)
    return folder


def test_its_tiny_form_is_an_encoder_decoder_with_the_adapters_that_were_asked_for(recipe: Recipe) -> None:
    assert recipe.llm.checkpoint == "zoo:t5"
    assert recipe.llm.adapters is not None
    assert recipe.llm.adapters.model_dump()["targets"] == ("q", "v")


def test_it_learns_and_its_run_answers(run: Path) -> None:
    losses = [json.loads(line)["loss"] for line in (run / "learn" / "metrics.jsonl").read_text().splitlines()]
    assert sum(losses[-3:]) < sum(losses[:3])
    session = modalink.load(run)
    model = session.system.model
    assert model.config.references.keys() == {"llm", "inputs.image.encoder"}
    assert all(p.any() for name, p in model.trainable_groups()["llm.lora"] if "lora_B" in name)
    scene = sample_scene(3, "test")
    answers = [session.ask("What is in the image?", image=render(scene), max_new_tokens=24).text for _ in range(2)]
    assert answers[0] == answers[1] and set(answers[0].split()) & {
        "red",
        "green",
        "blue",
        "a",
        "the",
        "and",
        "yes",
        "no",
    }

"""A little system learns where things are: boxes in its codec, written, said, read and scored."""

from pathlib import Path

import pytest

from modalink.conversation import Conversation, Region
from modalink.evaluation.replies import replies
from modalink.evaluation.tiny_world import Sizes, evaluate
from modalink.inference import load
from modalink.recipe import Recipe
from modalink.scoring.metrics.boxes import iou
from modalink.settings import RunSettings
from modalink.training.train import train

_COUNT = 6


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    """The zoo's parts, and a few conversations that are learned by heart."""
    data = {"source": "tiny_world", "count": _COUNT, "seed": 1, "tasks": ["locate", "region"]}
    stage = {
        "name": "places",
        "train": {"inputs.image.projector": {"lr": 5e-3}, "llm": {"lr": 3e-3}},
        "objectives": [{"kind": "language"}],
        "data": [data],
        "batch": _COUNT,
        "steps": 40,
        "schedule": "constant",
        "precision": "float32",
    }
    encoder = {"kind": "vision", "checkpoint": "zoo:vision", "layer": -1}
    return Recipe.model_validate(
        {
            "name": "places",
            "inputs": {"image": {"encoder": encoder, "projector": {"kind": "linear"}}},
            "llm": {"checkpoint": "zoo:llm"},
            "prompt": {"template": "chatml", "coordinates": "llava-1.5"},
            "stages": [stage],
        }
    )


@pytest.fixture(scope="module")
def run(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = RunSettings(device="cpu", cache=None, track=(), workers=0)
    return train(recipe, tmp_path_factory.mktemp("runs") / "places", settings=settings)


def test_what_was_learned_is_answered_in_boxes_and_about_boxes(recipe, run):
    system = load(run).system
    learned = [recipe.stages[0].data[0].open()[number] for number in range(_COUNT)]
    asked = [Conversation(talk.turns[:1], talk.id) for talk in learned]
    kinds = []
    for talk, question, reply in zip(learned, asked, replies(system, asked), strict=True):
        wanted = [piece for piece in talk.turns[1].content if isinstance(piece, Region)]
        found = system.processor.regions.read(reply.text, question).regions
        kinds.append("locate" if wanted else "region")
        if wanted:  # two decimals of a picture of 64 pixels
            said, right = (tuple(map(float, regions[0].areas[0])) for regions in (found, wanted))
            assert iou(said, right) > 0.8, reply.text
        else:
            assert not found and reply.text == talk.turns[1].text
    assert set(kinds) == {"locate", "region"}


def test_evaluation_scores_the_boxes_of_held_out_pictures(run):
    nothing = dict.fromkeys(("questions", "captions", "others", "drawings"), 0)
    found = evaluate(load(run).system, Sizes(split="validation", places=8, examples=4, **nothing))
    numbers = found.to_dict()
    assert numbers["counts"]["places"] == {"locate": 4, "region": 4}
    assert {"empty_image", "majority"} == numbers["baselines"]["places"].keys()
    shown = {example.kind: example for example in found.examples}
    assert shown.keys() == {"locate", "region"}
    # What it says is a box in its codec, whether or not the right one.
    assert shown["locate"].reply.startswith("[0.") and shown["locate"].picture.startswith("data:image/png")
    assert [measure.name for measure in found.tables()["held-out numbers (validation split)"]] == [
        "Boxes",
        "What a box holds",
    ]

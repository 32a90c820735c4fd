"""A stage with an image size of its own."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

import modalink
from modalink.recipe import Recipe
from modalink.training.events import Event, StepDone
from modalink.training.train import train


class Stopped(Exception):
    """Ends a run as a failure of the machine would."""


@pytest.fixture(scope="module")
def recipe(make_recipe: Callable[..., Recipe], pretrain, instruct) -> Recipe:
    """Two stages, of which the first shows images of half the side."""
    return make_recipe(pretrain(steps=2, image_size={"image": 16}), instruct(steps=2), checkpoint_every=1)


@pytest.fixture(scope="module")
def run(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run."""
    return train(recipe, tmp_path_factory.mktemp("sized") / "run")


def _tokens(run: Path) -> int:
    return sum(json.loads(line)["tokens"] for line in (run / "pretrain" / "metrics.jsonl").read_text().splitlines())


def test_it_learns_from_fewer_tokens_and_is_saved_with_its_own_size(recipe: Recipe, run: Path, tmp_path: Path) -> None:
    stages = [recipe.stages[0].replace(image_size={}), recipe.stages[1]]
    plain = train(recipe.model_copy(update={"stages": stages}), tmp_path / "plain")
    assert _tokens(run) < _tokens(plain)
    spec = modalink.load(run).system.spec
    assert spec.encoder("image").side_px() == 32 and spec.inputs == recipe.inputs
    weights = [(folder / "model" / "model.safetensors").read_bytes() for folder in (run, plain)]
    assert weights[0] != weights[1]


def test_a_run_that_broke_off_at_that_size_ends_with_the_same_bytes(recipe: Recipe, run: Path, tmp_path: Path) -> None:
    def fail(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == 2:
            raise Stopped

    broken = tmp_path / "run"
    with pytest.raises(Stopped):
        train(recipe, broken, on_event=fail)
    train(recipe, broken)
    assert (broken / "model/model.safetensors").read_bytes() == (run / "model/model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("number", "sizes", "message"),
    [
        (1, {"image": 16}, "the last stage has the system's own size: set that of inputs.image.encoder instead"),
        (0, {"video": 16}, "image_size.video: has no encoder of its own; those that have: image"),
        (0, {"image": 0}, "greater than 0"),
    ],
)
def test_sizes_that_mean_nothing_are_refused(recipe: Recipe, number: int, sizes: dict[str, int], message: str) -> None:
    data = recipe.to_dict()
    data["stages"][number]["image_size"] = sizes
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate(data)

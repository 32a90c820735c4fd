"""Runs that start from the weights of others."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from modalink.errors import CheckpointError, UnknownNameError
from modalink.model import System, compose
from modalink.recipe import Recipe
from modalink.training.events import Event, StageStarted
from modalink.training.train import train
from modalink.training.weights import find_lent

PROJECTOR, ADAPTERS = "inputs.image.projector", "llm.lora"


@pytest.fixture(scope="module")
def lender(make_recipe: Callable[..., Recipe], pretrain, instruct, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of another seed, which trained the input projector in two stages and all links in the second."""
    recipe = make_recipe(pretrain(steps=2), instruct(steps=2), seed=1)
    return train(recipe, tmp_path_factory.mktemp("lender") / "run")


def _of(system: System, group: str) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in system.model.trainable_groups()[group]}


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def _starts(recipe: Recipe, run: Path, *groups: str) -> list[dict[str, dict[str, Tensor]]]:
    """The weights of groups as each stage starts."""
    system, found = compose(recipe, seed=recipe.seed), []

    def note(event: Event) -> None:
        if isinstance(event, StageStarted):
            found.append({group: _of(system, group) for group in groups})

    train(recipe, run, system=system, on_event=note)
    return found


def test_a_system_starts_from_all_that_a_run_has_trained(make_recipe, pretrain, lender: Path, tmp_path: Path) -> None:
    lent = System.load(lender / "model")
    for name, origin in (("run", lender), ("folder", lender / "model")):
        recipe = make_recipe(pretrain(steps=1)).replace(init={"from": str(origin)})
        (start,) = _starts(recipe, tmp_path / name, PROJECTOR, ADAPTERS, "outputs.image.projector")
        assert all(_same(weights, _of(lent, group)) for group, weights in start.items())
    (origin,) = json.loads((tmp_path / "run" / "manifest.json").read_text())["lineage"]
    assert origin["from"] == str(lender)
    assert list(origin["sha256"]) == [
        f"{stage}/checkpoints/step-00000002/weights.safetensors" for stage in ("pretrain", "instruct")
    ]


def test_a_stage_starts_from_a_stage_and_takes_only_the_groups_it_asks_for(
    make_recipe, pretrain, lender: Path, tmp_path: Path
) -> None:
    early = {"from": str(lender), "stage": "pretrain"}
    late = {"from": str(lender), "groups": [ADAPTERS]}
    recipe = make_recipe(pretrain(steps=1), pretrain(name="b", steps=1, init=early), pretrain(name="c", init=late))
    fresh = compose(recipe, seed=recipe.seed)
    lent = System.load(lender / "model")
    first, second, third = _starts(recipe, tmp_path / "run", PROJECTOR, ADAPTERS)
    assert _same(first[PROJECTOR], _of(fresh, PROJECTOR))
    assert not _same(second[PROJECTOR], _of(lent, PROJECTOR)), "the second stage of the lender went on with it"
    assert not _same(second[PROJECTOR], first[PROJECTOR])
    assert _same(second[ADAPTERS], _of(fresh, ADAPTERS))
    assert _same(third[ADAPTERS], _of(lent, ADAPTERS))
    assert not _same(third[PROJECTOR], _of(lent, PROJECTOR))


def test_wrong_shapes_groups_and_places_are_told(make_recipe, pretrain, lender: Path, tmp_path: Path) -> None:
    def refused(message: str, kind: type[Exception] = CheckpointError, lora: int = 2, **init) -> None:
        recipe = make_recipe(pretrain(steps=1))
        llm = {"checkpoint": recipe.llm.checkpoint, "lora": {"rank": lora, "alpha": 4.0}}
        recipe = recipe.replace(llm=llm, init={"from": str(lender), **init})
        with pytest.raises(kind, match=message):
            train(recipe, tmp_path / "refused")
        shutil.rmtree(tmp_path / "refused")

    refused(r"init from .*, llm\.lora: .*lora_A.* has the shape \(2, \d+\) there and \(3, \d+\) here", lora=3)
    refused(r"found no weights of llm there; it holds inputs\.image\.projector", groups=["llm"])
    refused("unknown stage of .* 'instrut'; did you mean 'instruct'", UnknownNameError, stage="instrut")
    refused("found neither a run nor", **{"from": str(tmp_path)})


def test_weights_that_changed_since_the_run_began_are_refused(
    make_recipe, pretrain, lender: Path, tmp_path: Path
) -> None:
    copied = shutil.copytree(lender / "model", tmp_path / "copied")
    recipe = make_recipe(pretrain(steps=1)).replace(init={"from": str(copied)})
    train(recipe, tmp_path / "run")
    (tmp_path / "run" / "model").rename(tmp_path / "aside")
    (copied / "model.safetensors").unlink()
    shutil.copy(tmp_path / "aside" / "model.safetensors", copied / "model.safetensors")
    with pytest.raises(CheckpointError, match="are not those that the run began from"):
        train(recipe, tmp_path / "run")


def test_rows_of_signal_tokens_are_not_lent_to_other_tokens(
    make_recipe, instruct, lender: Path, tmp_path: Path
) -> None:
    """The rows of 8 tokens of two outputs are lent in their order, which only recipes tell."""
    solids = {"kind": "shap_e", "checkpoint": "zoo:solid_diffusion"}
    recipe = make_recipe(instruct(steps=1))
    image = recipe.outputs["image"].model_dump(mode="json")
    points = {"signal_tokens": 1, "projector": {"kind": "mlp"}, "generator": solids}
    one, other = (
        Recipe.model_validate(recipe.to_dict() | {"outputs": dict(order)})
        for order in ((("points", points), ("image", image)), (("image", image), ("points", points)))
    )
    shutil.copytree(lender, tmp_path / "lender")
    (tmp_path / "lender" / "recipe.yaml").write_text(one.to_yaml())
    count = image["signal_tokens"]
    with pytest.raises(
        CheckpointError,
        match=f"in the order points 1, image {count} there and image {count}, points 1 here; needed the same order",
    ):
        find_lent(other.replace(init={"from": str(tmp_path / "lender")}), print)
    for asked in (one.replace(init={"from": str(tmp_path / "lender")}),
                  other.replace(init={"from": str(tmp_path / "lender"), "groups": [PROJECTOR]})):  # fmt: skip
        assert find_lent(asked, print).keys() == {None}

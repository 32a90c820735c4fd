"""A stage with a join from the command line: who learns, killed and resumed, reloaded, taken out again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from modalink import hub
from modalink.cli.main import app
from modalink.inference import load
from modalink.model import compose
from modalink.recipe import Recipe
from modalink.settings import RunSettings
from modalink.training.events import StepDone
from modalink.training.train import train
from tests.support.little_recipes import metrics, read_by, recipe_of, record, write_records

JOINS: dict[str, dict[str, Any]] = {
    "gated_cross_attention": {"every": 1, "heads": 2, "head_width": 8, "media_width": 24},
    "visual_expert": {"begin": True},
    "splice": {"begin": True, "end": True},
}


@pytest.fixture
def make_recipe(tmp_path: Path) -> Callable[[str], Recipe]:
    """A recipe of tiny random parts whose one stage trains a join of a kind alone."""
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    rows = [record(f"r{n}", "<image>\nwhat is it?", f"a thing of number {n}", images=[f"{n}.png"]) for n in range(4)]
    write_records(tmp_path, rows)

    def make(kind: str) -> Recipe:
        data = recipe_of(tmp_path, read_by(tmp_path, "image"), steps=6, checkpoint_every=2).to_dict()
        data["llm"]["join"] = {"kind": kind, **JOINS[kind]}
        data["stages"][0]["train"] = {"llm.join": {"lr": 1e-2}}
        return Recipe.model_validate(data)

    return make


class _Killed(Exception):
    pass


def _kill(event: object) -> None:
    if isinstance(event, StepDone) and event.step == 5:
        raise _Killed


@pytest.mark.parametrize("kind", JOINS)
def test_a_stage_trains_a_join(make_recipe, tmp_path, kind):
    recipe, whole, broken = make_recipe(kind), tmp_path / "whole", tmp_path / "broken"
    (tmp_path / "join.yaml").write_text(recipe.to_yaml())
    settings = RunSettings(device="cpu", cache=None, track=(), workers=0)
    with pytest.raises(_Killed):
        train(recipe, broken, settings=settings, on_event=_kill)
    for run in (whole, broken):
        command = ["train", str(tmp_path / "join.yaml"), "--run", str(run), "--device", "cpu", "--track", "off"]
        result = CliRunner().invoke(app, [*command, "--cache", "off", "--workers", "0"])
        assert result.exit_code == 0, result.output
        assert "llm.join" in result.output
    assert [row["losses"] for row in metrics(broken)] == [row["losses"] for row in metrics(whole)]
    first, resumed = (load(run).system.model for run in (whole, broken))
    for (name, one), other in zip(first.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    _check_only_the_join_learned(recipe, first)
    _check_left(recipe, first)


def _check_only_the_join_learned(recipe: Recipe, trained: Any) -> None:
    """Of the system as it began, the join alone has changed: all of it that a gradient reaches."""
    began = dict(compose(recipe, seed=recipe.seed).model.named_parameters())
    changed = {name for name, value in trained.named_parameters() if not torch.equal(value, began[name])}
    assert changed and all(name.startswith("model.join.") for name in changed)
    own = {name for name in began if name.startswith("model.join.")}
    # Of the LLM's last layer text reads only keys and values of media: the other twins there stay copies.
    last = f"model.join.layers.{len(getattr(trained.model.join, 'layers', [])) - 1}."
    assert {name for name in own - changed if not name.startswith(last)} == set()


def _check_left(recipe: Recipe, trained: Any) -> None:
    """Taken out, the LLM is the checkpoint's, to the bit."""
    trained.model.join.take_out()
    llm, bare = trained.language_model, recipe.llm.build()
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        assert torch.equal(llm(input_ids=ids).logits, bare(input_ids=ids).logits)
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in llm.modules())
    assert hub.locate(recipe.llm.checkpoint).is_dir()

"""Stages that begin as an earlier stage of their run has ended."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from modalink.errors import CheckpointError
from modalink.model import System, compose
from modalink.recipe import Recipe
from modalink.recipe.tiny import tiny_form
from modalink.training.events import Event, StageStarted
from modalink.training.train import train
from tests.support.forks import ended
from tests.support.run_files import recipe_file
from tests.training import child

PROJECTOR, ADAPTERS = "inputs.image.projector", "llm.lora"
ADAPTING = {ADAPTERS: {"lr": 1e-2}}
Starts = dict[str, dict[str, Tensor]]


def _starts(recipe: Recipe, run: Path) -> tuple[Starts, System]:
    """All parameters as each stage starts, and the system behind the last."""
    system, found = compose(recipe, seed=recipe.seed), Starts()

    def note(event: Event) -> None:
        if isinstance(event, StageStarted):
            found[event.stage] = {name: p.detach().clone() for name, p in system.model.named_parameters()}

    train(recipe, run, system=system, on_event=note)
    return found, system


def _changed(one: dict[str, Tensor], other: dict[str, Tensor], system: System) -> set[str]:
    """The groups in which two states differ."""
    groups = system.model.trainable_groups()
    return {g for g, members in groups.items() if any(not torch.equal(one[name], other[name]) for name, _ in members)}


@pytest.fixture(scope="module")
def chain(make_recipe: Callable[..., Recipe], pretrain) -> Callable[..., Recipe]:
    """Three stages: the projector, then projector and adapters, then what `last` says."""
    both = {PROJECTOR: {"lr": 1e-2}, **ADAPTING}
    return lambda **last: make_recipe(
        pretrain(name="one", steps=2),
        pretrain(name="two", steps=2, train=both),
        pretrain(name="three", steps=2, **last),
    )


def test_all_that_was_learned_since_goes_back(chain: Callable[..., Recipe], tmp_path: Path) -> None:
    starts, system = _starts(chain(init={"stage": "one"}, train=ADAPTING), tmp_path / "run")
    assert _changed(starts["one"], starts["two"], system) == {PROJECTOR}
    assert _changed(starts["two"], starts["three"], system) == set(), "adapters, too, which only the second had trained"
    last = {name: p.detach() for name, p in system.model.named_parameters()}
    assert _changed(starts["three"], last, system) == {ADAPTERS}


def test_of_chosen_groups_others_stay_as_the_stage_before_left_them(chain, tmp_path: Path) -> None:
    without, system = _starts(chain(), tmp_path / "without")
    chosen, _ = _starts(chain(init={"stage": "one", "groups": [ADAPTERS]}), tmp_path / "chosen")
    assert _changed(chosen["three"], without["three"], system) == {ADAPTERS}
    assert _changed(chosen["three"], without["two"], system) == {PROJECTOR}


def test_a_state_that_was_gone_back_to_can_be_gone_back_to_again(chain, pretrain, tmp_path: Path) -> None:
    recipe = chain(init={"stage": "one"}, train=ADAPTING)
    fourth = pretrain(name="four", steps=1, init={"stage": "two"}, train={PROJECTOR: {"lr": 1e-2}, **ADAPTING})
    fifth = pretrain(name="five", steps=1, init={"stage": "three"})
    more = Recipe.model_validate(recipe.to_dict() | {"stages": [*recipe.to_dict()["stages"], fourth, fifth]})
    starts, system = _starts(more, tmp_path / "run")
    straight, _ = _starts(chain(), tmp_path / "straight")
    assert _changed(starts["four"], straight["three"], system) == set()
    assert _changed(starts["five"], starts["three"], system) == {ADAPTERS}


def test_the_average_of_a_stage_is_what_it_has_left(chain, tmp_path: Path) -> None:
    recipe = chain(init={"stage": "one"}, train=ADAPTING)
    stages = [stage.replace(ema=0.5) if stage.name == "one" else stage for stage in recipe.stages]
    starts, system = _starts(recipe.replace(stages=[stage.model_dump() for stage in stages]), tmp_path / "run")
    assert _changed(starts["two"], starts["three"], system) == set()
    weights = load_file(tmp_path / "run/one/checkpoints/step-00000002/weights.safetensors")
    assert any(not torch.equal(tensor, starts["three"][name]) for name, tensor in weights.items())


def test_killed_behind_it_a_run_is_resumed_to_the_bit(chain, tmp_path: Path) -> None:
    recipe = chain(init={"stage": "one"}, train=ADAPTING, checkpoint_every=1)
    whole, killed, output = tmp_path / "whole", tmp_path / "killed", tmp_path / "output"
    train(recipe, whole)
    arguments = [recipe_file(recipe, killed), str(killed), "kill", "three", "1"]
    assert ended(child.__file__, arguments, output) == -signal.SIGKILL, output.read_text()
    train(recipe, killed)
    assert (killed / "model/model.safetensors").read_bytes() == (whole / "model/model.safetensors").read_bytes()


def test_what_an_earlier_stage_has_kept_must_be_there(chain, tmp_path: Path) -> None:
    recipe, kept = chain(init={"stage": "one"}), tmp_path / "run" / "one" / "checkpoints"

    def remove(event: Event) -> None:
        if isinstance(event, StageStarted) and event.stage == "two":
            kept.rename(tmp_path / "aside")

    with pytest.raises(CheckpointError, match=r"one/checkpoints: a later stage asks for what was learned here"):
        train(recipe, tmp_path / "run", on_event=remove)


def test_only_stages_before_can_be_named(chain, make_recipe, pretrain) -> None:
    with pytest.raises(ValueError, match="unknown earlier stage 'three'; known: one, two"):
        chain(init={"stage": "three"})
    with pytest.raises(ValueError, match="unknown earlier stage 'one'; known: none"):
        make_recipe(pretrain(name="one", init={"stage": "one"}))
    with pytest.raises(ValueError, match="says not what it starts from"):
        chain(init={"groups": [ADAPTERS]})
    with pytest.raises(ValueError, match="found the stage one of this recipe, which begins with it"):
        chain().replace(init={"stage": "one"})


def test_the_tiny_form_keeps_stages_that_it_begins_from_and_no_runs() -> None:
    from modalink.recipe import load

    recipe = load("llava-1.5")
    stages = [stage.model_dump(mode="json") for stage in recipe.stages]
    stages[1]["init"] = {"stage": "pretrain"}
    own = recipe.replace(stages=stages)
    assert tiny_form(own)["stages"][1]["init"]["stage"] == "pretrain"
    stages[1]["init"] = {"from": "runs/other"}
    assert tiny_form(recipe.replace(stages=stages))["stages"][1]["init"] is None

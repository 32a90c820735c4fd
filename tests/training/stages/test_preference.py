"""A stage that learns from pairs of replies: what it begins with, what it moves, and how it is resumed."""

import math
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from modalink.model import Prepared
from modalink.recipe import Recipe
from modalink.runs import checkpoints
from modalink.settings import run_settings
from modalink.training.reference import Reference
from modalink.training.train import train
from tests.support.forks import ended, ended_together
from tests.support.run_files import recipe_file, records_of
from tests.training import child, reference_child

CHILD = child.__file__


def test_policy_and_reference_begin_as_one_and_pairs_are_learned(
    make_recipe: Callable[..., Recipe], pretrain, prefer, tmp_path: Path
) -> None:
    """The reference is the state that the stage before has left, and dropout is off: the first loss is ln 2."""
    run = train(make_recipe(pretrain(), prefer(batch=6, steps=12), lora_dropout=0.5), tmp_path / "run")
    losses = [record["losses"]["dpo"] for record in records_of(run, "prefer")]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5)
    assert losses[-1] < 0.2
    assert records_of(run, "prefer")[0]["units"] == {"dpo": 6}
    assert records_of(run, "prefer")[0]["samples"] == 6
    states = [load_file(run / s / "checkpoints" / f"step-{n:08d}" / "weights.safetensors") for s, n in LAST]
    assert {name.split(".")[1] for name in states[1]} == {"input_projectors", "language_model"}
    moved = [name for name in states[0].keys() & states[1].keys() if not torch.equal(states[0][name], states[1][name])]
    assert len(moved) == len(states[0]) > 0


LAST = (("pretrain", 6), ("prefer", 12))


MEASURED = [{"kind": "dpo"}, {"kind": "bco"}, {"kind": "kto"}]
"""Of these one keeps a mean from step to step, and one compares samples of all processes."""


@pytest.fixture(params=["preference", "reward"])
def learning(request: pytest.FixtureRequest, make_recipe: Callable[..., Recipe], pretrain, prefer):
    """A recipe whose second stage learns from pairs."""

    def make(**changes: Any) -> Recipe:
        if request.param == "preference":
            return make_recipe(pretrain(steps=2), prefer(objectives=MEASURED, **changes), lora_dropout=0.3)
        groups = ("inputs.image.projector", "llm.lora", "llm.reward_head")
        scoring = {"kind": "reward", "objectives": [{"kind": "bradley_terry"}]}
        stages = [pretrain(steps=2), prefer(**scoring, train={name: {"lr": 1e-2} for name in groups}, **changes)]
        return make_recipe(*stages, llm={"reward_head": True})

    return make


def test_killed_it_is_resumed_to_the_bit_by_the_reference_that_it_began_with(
    learning: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = learning(micro_tokens=100)
    whole, killed, output = train(recipe, tmp_path / "whole"), tmp_path / "killed", tmp_path / "output"
    for step in ("1", "3"):
        arguments = [recipe_file(recipe, killed), str(killed), "kill", "prefer", step]
        assert ended(CHILD, arguments, output) == -signal.SIGKILL, output.read_text()
    newest = checkpoints.latest(killed / "prefer" / "checkpoints", print)
    assert newest is not None and newest.progress.step == 2
    train(recipe, killed)
    assert records_of(killed, "prefer") == records_of(whole, "prefer")
    assert (killed / "model" / "model.safetensors").read_bytes() == (whole / "model" / "model.safetensors").read_bytes()


def test_killed_while_the_reference_is_cached_it_goes_on_with_what_is_on_the_disk(
    make_recipe: Callable[..., Recipe], prefer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the second step, of whose pairs one is kept and one is not: what is kept is read, and the bits are the same."""
    recipe = make_recipe(prefer(steps=4), lora_dropout=0.3)
    computed: list[str] = []
    alone = Reference._alone

    def counted(self: Reference, sample: Prepared) -> torch.Tensor:
        computed.append(sample.id)
        return alone(self, sample)

    monkeypatch.setattr(Reference, "_alone", counted)
    whole, killed, output = train(recipe, tmp_path / "whole"), tmp_path / "killed", tmp_path / "output"
    every, cache = [*computed], tmp_path / "cache"
    assert len(every) == len({*every}) == 6
    arguments = [recipe_file(recipe, killed), str(killed), str(cache), "3"]
    assert ended(reference_child.__file__, arguments, output) == -signal.SIGKILL, output.read_text()
    assert len(records_of(killed, "prefer")) == 1
    computed.clear()
    train(recipe, killed, settings=run_settings(cache=str(cache)))
    assert computed == every[3:]
    assert records_of(killed, "prefer") == records_of(whole, "prefer")
    assert (killed / "model" / "model.safetensors").read_bytes() == (whole / "model" / "model.safetensors").read_bytes()


def test_two_processes_learn_from_pairs_what_one_learns(learning: Callable[..., Recipe], tmp_path: Path) -> None:
    recipe = learning(batch=4, micro_batch=1, steps=2)
    one, two, output = tmp_path / "one", tmp_path / "two", tmp_path / "output"
    train(recipe, one)
    codes = ended_together(CHILD, [recipe_file(recipe, two), str(two)], output=output, processes=2)
    assert codes == [0, 0], output.read_text()
    for alone, together in zip(records_of(one, "prefer"), records_of(two, "prefer"), strict=True):
        assert together["units"] == alone["units"]
        assert all(units >= 4 for units in alone["units"].values())
        assert together["losses"] == pytest.approx(alone["losses"], rel=1e-3)
        assert together["grad_norms"] == pytest.approx(alone["grad_norms"], rel=1e-2)


def test_two_processes_learn_by_objectives_about_pairs_what_one_learns(
    make_recipe: Callable[..., Recipe], prefer, tmp_path: Path
) -> None:
    """By those whose losses are sums of units of their own (changed tokens, odds, margins, ranks), and by those that
    damage media, here without a draw: what is drawn of a medium is another on each process."""
    kinds = ("ddpo", "orpo", "simpo", "rrhf", "cpo", "mdpo", "v_dpo")
    blank = {"mdpo": {"damage": "blank"}}
    stage = prefer(
        objectives=[{"kind": kind, **blank.get(kind, {})} for kind in kinds], batch=4, micro_batch=1, steps=1
    )
    recipe, one, two, output = make_recipe(stage), tmp_path / "one", tmp_path / "two", tmp_path / "output"
    train(recipe, one)
    codes = ended_together(CHILD, [recipe_file(recipe, two), str(two)], output=output, processes=2)
    assert codes == [0, 0], output.read_text()
    (alone,), (together,) = records_of(one, "prefer"), records_of(two, "prefer")
    assert together["units"] == alone["units"] == dict.fromkeys(kinds, 4)
    assert together["losses"] == pytest.approx(alone["losses"], rel=1e-3)
    assert together["grad_norms"] == pytest.approx(alone["grad_norms"], rel=1e-2)


def test_an_objective_that_measures_by_the_start_needs_a_stage_that_keeps_it(
    make_recipe: Callable[..., Recipe], prefer
) -> None:
    text = "the objective 'dpo' measures by the state in which its stage began, which a stage of kind 'supervised'"
    with pytest.raises(ValueError, match=f"{text} does not keep: kind: preference"):
        make_recipe(prefer(kind="supervised"))

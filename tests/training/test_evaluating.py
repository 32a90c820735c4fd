"""Evaluation inside a stage leaves no trace in what is learned, survives a kill, and keeps the best weights."""

import json
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from modalink.errors import CheckpointError, DataError, OptionError, TrainingError
from modalink.inference import load
from modalink.recipe import Init, Recipe
from modalink.runs.facts import read_run
from modalink.runs.saved_weights import find
from modalink.training.evaluating import undisturbed
from modalink.training.events import Evaluated, Event
from modalink.training.freezing import set_modes
from modalink.training.randomness import seed_everything
from modalink.training.train import train
from tests.support.forks import ended

CHILD = str(Path(__file__).with_name("child.py"))
TIMES = ("seconds", "data_seconds", "tokens_per_s", "evaluation_seconds")
WEIGHTS = ("weights.safetensors", "optimizer.safetensors")


@pytest.fixture(scope="module")
def evaluate(data: dict[str, str]) -> Callable[..., dict[str, Any]]:
    """Settings of an evaluation every third step; keywords change them."""
    return lambda **changes: {
        "every": 3,
        "data": [{"source": "messages", "path": data["ask"]}, {"source": "messages", "path": data["draw"]}],
        "samples": 5,
        "keep_best": {"metric": "loss", "mode": "min"},
        **changes,
    }


@pytest.fixture(scope="module")
def questions(data: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A benchmark of two questions about one picture, whose replies are short."""
    folder = tmp_path_factory.mktemp("mme")
    for part in ("eval", "existence/images"):
        (folder / part).mkdir(parents=True)
    lines = [
        f"1.png\tIs it {colour}? Please answer yes or no.\t{label}\n"
        for colour, label in (("red", "Yes"), ("blue", "No"))
    ]
    (folder / "eval" / "existence.txt").write_text("".join(lines))
    (folder / "existence" / "images" / "1.png").write_bytes((Path(data["ask"]).parent / "1.png").read_bytes())
    return {"name": "mme-perception", "data": str(folder), "options": {"missing": "skip"}}


@pytest.fixture(scope="module")
def recipe(make_recipe: Callable[..., Recipe], instruct, evaluate, questions) -> Recipe:
    """A stage with dropout and all objectives, evaluated by losses and by a benchmark."""
    return make_recipe(instruct(evaluate=evaluate(benchmarks=[questions])), lora_dropout=0.3)


@pytest.fixture(scope="module")
def heard() -> list[Event]:
    """What the run below told."""
    return []


@pytest.fixture(scope="module")
def evaluated(recipe: Recipe, heard: list[Event], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that never stopped."""
    return train(recipe, tmp_path_factory.mktemp("evaluated") / "run", on_event=heard.append)


def _lines(run: Path, stage: str = "instruct") -> list[dict[str, Any]]:
    lines = map(json.loads, (run / stage / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


def _evaluations(run: Path, stage: str = "instruct") -> list[dict[str, Any]]:
    return [line for line in _lines(run, stage) if "evaluation" in line]


def _bytes(run: Path, *names: str) -> list[bytes]:
    folder = run / "instruct" / "checkpoints" / "step-00000006"
    return [(folder / name).read_bytes() for name in names]


def test_what_is_learned_is_the_same_to_the_bit(
    make_recipe: Callable[..., Recipe], instruct, evaluated: Path, tmp_path: Path
) -> None:
    plain = train(make_recipe(instruct(), lora_dropout=0.3), tmp_path / "plain")
    assert _bytes(plain, *WEIGHTS) == _bytes(evaluated, *WEIGHTS)
    assert _lines(plain) == [line for line in _lines(evaluated) if "evaluation" not in line]
    ledgers = [(run / "instruct" / "ledger.jsonl").read_bytes() for run in (plain, evaluated)]
    assert ledgers[0] == ledgers[1]


def test_losses_and_benchmarks_are_written_down_and_told(evaluated: Path, heard: list[Event]) -> None:
    found = _evaluations(evaluated)
    assert [line["step"] for line in found] == [3, 6]
    for line in found:
        numbers = line["evaluation"]
        assert [*numbers][:4] == ["loss", "losses.language", "losses.align", "losses.diffusion"]
        parts = (numbers[f"losses.{name}"] for name in ("language", "align", "diffusion"))
        assert numbers["loss"] == pytest.approx(sum(w * n for w, n in zip((1, 0.5, 2), parts, strict=True)))
        assert [*numbers][4:] == [f"mme_perception.{name}" for name in ("score", "perception", "existence")]
    told = [event for event in heard if isinstance(event, Evaluated)]
    assert [(e.step, e.steps, e.numbers) for e in told] == [(line["step"], 6, line["evaluation"]) for line in found]
    assert "absent" in (evaluated / "instruct" / "evaluation" / "ledger.jsonl").read_text()


def test_the_best_weights_are_kept_and_can_be_taken(evaluated: Path, heard: list[Event]) -> None:
    least = min(_evaluations(evaluated), key=lambda line: line["evaluation"]["loss"])
    folder = evaluated / "instruct" / "checkpoints" / "best"
    state = json.loads((folder / "state.json").read_text())
    assert (state["step"], state["metric"], state["value"]) == (least["step"], "loss", least["evaluation"]["loss"])
    assert [event.step for event in heard if isinstance(event, Evaluated) and event.best][-1] == least["step"]
    assert read_run(evaluated).stages[0].best == (least["step"], least["evaluation"]["loss"])
    saved = find(Init.model_validate({"from": str(evaluated), "checkpoint": "best"}), pytest.fail)
    assert saved.paths == [folder / "weights.safetensors"]
    parameters = dict(load(evaluated, best=True).system.model.named_parameters())
    for name, tensor in load_file(folder / "weights.safetensors").items():
        assert torch.equal(parameters[name], tensor)


def test_a_killed_run_goes_on_to_the_same_evaluations_and_the_same_best(
    recipe: Recipe, evaluated: Path, tmp_path: Path
) -> None:
    killed = tmp_path / "killed"
    (tmp_path / "killed.yaml").write_text(recipe.to_yaml())
    child = [str(tmp_path / "killed.yaml"), str(killed), "kill", "instruct", "4"]
    assert ended(CHILD, child, tmp_path / "output") == -signal.SIGKILL, (tmp_path / "output").read_text()
    assert [line["step"] for line in _evaluations(killed)] == [3]
    train(recipe, killed)
    assert _lines(killed) == _lines(evaluated)
    assert _bytes(killed, *WEIGHTS) == _bytes(evaluated, *WEIGHTS)
    for name in ("weights.safetensors", "state.json"):
        best = [run / "instruct" / "checkpoints" / "best" / name for run in (killed, evaluated)]
        assert best[0].read_bytes() == best[1].read_bytes()


def test_the_first_of_equal_ones_is_the_best_and_the_last_step_is_evaluated(
    make_recipe: Callable[..., Recipe], pretrain, evaluate, questions, tmp_path: Path
) -> None:
    best = {"metric": "mme_perception.score", "mode": "max"}
    stage = pretrain(steps=4, evaluate=evaluate(data=[], benchmarks=[questions], keep_best=best))
    stage["train"] = {"inputs.image.projector": {"lr": 1e-9}}
    run = train(make_recipe(stage), tmp_path / "run")
    assert [line["step"] for line in _evaluations(run, "pretrain")] == [3, 4]
    assert json.loads((run / "pretrain" / "checkpoints" / "best" / "state.json").read_text())["step"] == 3


def test_random_states_and_modes_come_back() -> None:
    model = nn.ModuleDict({"learns": nn.Sequential(nn.Linear(2, 2), nn.Dropout()), "frozen": nn.Linear(2, 2)})
    model["frozen"].requires_grad_(False)
    set_modes(model)

    def drawn() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    seed_everything(1)
    wanted, before = drawn(), [module.training for module in model.modules()]
    assert before == [True, True, True, True, False]
    seed_everything(1)
    with undisturbed(model, torch.device("cpu"), 0):
        assert not any(module.training for module in model.modules())
        assert not torch.is_grad_enabled()
        inside = drawn()
    assert drawn() == wanted != inside
    assert [module.training for module in model.modules()] == before


def test_a_number_that_no_evaluation_gives_is_told(
    make_recipe: Callable[..., Recipe], pretrain, evaluate, questions, tmp_path: Path
) -> None:
    best = {"metric": "mme_perception.recall", "mode": "max"}
    stage = pretrain(steps=1, evaluate=evaluate(data=[], benchmarks=[questions], keep_best=best))
    with pytest.raises(
        TrainingError, match=r"is mme_perception\.recall, and the evaluation gives mme_perception\.score"
    ):
        train(make_recipe(stage), tmp_path / "run")


def test_what_cannot_be_evaluated_is_told_before_the_first_step(
    make_recipe: Callable[..., Recipe], pretrain, evaluate, tmp_path: Path
) -> None:
    def refused(kind: type[Exception], message: str, **changes: Any) -> None:
        run = tmp_path / f"run-{len([*tmp_path.iterdir()])}"
        with pytest.raises(kind, match=message):
            train(make_recipe(pretrain(steps=1, evaluate=evaluate(keep_best=None, **changes))), run)
        assert not [*run.glob("pretrain/checkpoints/*")]

    refused(DataError, "looked for", data=[{"source": "messages", "path": str(tmp_path / "absent.jsonl")}])
    refused(OptionError, "needed --data FOLDER", benchmarks=[{"name": "pope"}])
    refused(OptionError, "and no data", benchmarks=[{"name": "tiny-world", "data": "x"}])


def test_a_run_without_a_best_checkpoint_says_how_to_keep_one(
    make_recipe: Callable[..., Recipe], pretrain, tmp_path: Path
) -> None:
    run = train(make_recipe(pretrain(steps=1)), tmp_path / "run")
    with pytest.raises(CheckpointError, match="found no best checkpoint; a stage keeps one with evaluate"):
        load(run, best=True)
    with pytest.raises(CheckpointError, match="its stage pretrain keeps no best checkpoint"):
        find(Init.model_validate({"from": str(run), "checkpoint": "best"}), pytest.fail)

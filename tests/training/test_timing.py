"""`precision: auto` takes what is faster here, keeps it, and changes nothing else."""

import json
from collections.abc import Callable, Sequence

import pytest
import torch
from safetensors.torch import load_file

from modalink.model.prepared import Prepared
from modalink.training.events import Event, PrecisionChosen
from modalink.training.step import Learner
from modalink.training.timing import seconds_per_step
from modalink.training.train import train


class Idle(Learner):
    """Does nothing at all; its optimizer counts how often gradients are dropped."""

    def __init__(self) -> None:
        self.dropped = 0
        self.optimizer = self

    def zero_grad(self) -> None:
        self.dropped += 1

    def micro_batches(self, samples):
        return []

    def counts(self, batches):
        return {}

    def gradients(self, step, parts, counts):
        return {}, {}


def test_the_shortest_step_after_the_first_counts() -> None:
    ticks = iter([0, 1, 10, 15, 20, 23, 30, 34])  # 1 s, 5 s, 3 s and 4 s
    learner = Idle()
    assert seconds_per_step(learner, [], lambda: float(next(ticks))) == 3.0
    assert learner.dropped == 1


def _real_but_told(seconds: dict[str, float]) -> Callable[..., float]:
    """Does all that is timed, and tells other seconds."""

    def timed(learner: Learner, samples: Sequence[Prepared]) -> float:
        assert seconds_per_step(learner, samples) > 0
        return seconds[str(learner.dtype).removeprefix("torch.")]

    return timed


@pytest.mark.parametrize(("seconds", "fastest"), [((1.0, 2.0), "bfloat16"), ((2.0, 1.0), "float32")])
def test_the_faster_one_is_taken_told_and_kept(make_recipe, pretrain, monkeypatch, tmp_path, seconds, fastest) -> None:
    told = dict(zip(("bfloat16", "float32"), seconds, strict=True))
    monkeypatch.setattr("modalink.model.precision.multiplies_bfloat16", lambda device: True)
    monkeypatch.setattr("modalink.training.timing.seconds_per_step", _real_but_told(told))
    events: list[Event] = []
    train(make_recipe(pretrain(precision="auto", steps=2)), tmp_path / "run", on_event=events.append)
    threads = torch.get_num_threads()
    assert [e for e in events if isinstance(e, PrecisionChosen)] == [
        PrecisionChosen("pretrain", fastest, told, threads)
    ]
    kept = json.loads((tmp_path / "run" / "pretrain" / "precision.json").read_text())
    assert kept == {"precision": fastest, "threads": threads, "seconds_per_step": told}


@pytest.mark.parametrize("fastest", ["bfloat16", "float32"])
def test_measuring_changes_no_bit(make_recipe, pretrain, instruct, monkeypatch, tmp_path, fastest) -> None:
    monkeypatch.setattr("modalink.model.precision.multiplies_bfloat16", lambda device: True)
    told = {"bfloat16": 2.0, "float32": 2.0} | {fastest: 1.0}
    monkeypatch.setattr("modalink.training.timing.seconds_per_step", _real_but_told(told))
    runs = {name: tmp_path / name for name in ("auto", fastest)}
    for precision, run in runs.items():
        stages = [make(precision=precision, steps=3) for make in (pretrain, instruct)]
        train(make_recipe(*stages, lora_dropout=0.2), run)
    for stage in ("pretrain", "instruct"):
        lines = [
            [json.loads(x) for x in (run / stage / "metrics.jsonl").read_text().splitlines()] for run in runs.values()
        ]
        for measured, given in zip(*lines, strict=True):
            assert (measured["loss"], measured["grad_norm"]) == (given["loss"], given["grad_norm"])
        assert len({(run / stage / "ledger.jsonl").read_text() for run in runs.values()}) == 1
    weights = [load_file(run / "model" / "model.safetensors") for run in runs.values()]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_a_given_precision_and_a_kept_choice_are_not_measured(make_recipe, pretrain, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("modalink.training.timing.measure", lambda *_: pytest.fail("it was measured"))
    monkeypatch.setattr("modalink.model.precision.multiplies_bfloat16", lambda device: True)
    train(make_recipe(pretrain(precision="bfloat16", steps=1)), tmp_path / "given")
    assert not (tmp_path / "given" / "pretrain" / "precision.json").exists()
    (tmp_path / "kept").mkdir()
    recipe = make_recipe(pretrain(precision="auto", steps=1))
    (tmp_path / "kept" / "recipe.yaml").write_text(recipe.to_yaml())
    (tmp_path / "kept" / "pretrain").mkdir()
    (tmp_path / "kept" / "pretrain" / "precision.json").write_text('{"precision": "float32"}')
    train(recipe, tmp_path / "kept")


def test_a_resumed_run_takes_the_threads_it_had(make_recipe, pretrain, tmp_path) -> None:
    recipe = make_recipe(pretrain(steps=1))
    before = torch.get_num_threads()
    train(recipe, tmp_path / "run")
    (tmp_path / "run" / "model").rename(tmp_path / "gone")
    torch.set_num_threads(before + 1)
    train(recipe, tmp_path / "run")
    assert torch.get_num_threads() == before

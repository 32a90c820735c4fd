"""A run that was killed or stopped goes on to the bit."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from modalink.errors import CheckpointError
from modalink.recipe import Recipe
from modalink.training.events import Event, RunFinished, RunStarted, StageStarted, StepDone, Warned
from modalink.training.train import train
from tests.support.forks import ended, exit_code, said, start
from tests.support.run_files import recipe_file, records_of

CHILD = str(Path(__file__).with_name("child.py"))


def _same(run: Path, other: Path) -> None:
    assert (run / "model" / "model.safetensors").read_bytes() == (other / "model" / "model.safetensors").read_bytes()
    for stage in ("pretrain", "instruct"):
        assert records_of(run, stage) == records_of(other, stage)
        assert [line["step"] for line in records_of(run, stage)] == [1, 2, 3, 4, 5, 6]
        ledgers = [path / stage / "ledger.jsonl" for path in (run, other)]
        assert ledgers[0].read_bytes() == ledgers[1].read_bytes() != b""


@pytest.fixture(scope="module")
def recipe(make_recipe: Callable[..., Recipe]) -> Recipe:
    """Both stages, with dropout."""
    return make_recipe(lora_dropout=0.3)


@pytest.fixture(scope="module")
def whole(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that never stopped."""
    return train(recipe, tmp_path_factory.mktemp("whole") / "run")


def test_a_run_killed_twice_ends_with_the_bytes_of_one_that_never_stopped(
    recipe: Recipe, whole: Path, tmp_path: Path
) -> None:
    killed = tmp_path / "killed"
    for stage, step in (("pretrain", 3), ("instruct", 5)):
        fate = ["kill", stage, str(step)]
        output = tmp_path / "output"
        assert ended(CHILD, [recipe_file(recipe, killed), str(killed), *fate], output) == -signal.SIGKILL, (
            output.read_text()
        )
        assert len(records_of(killed, stage)) == step
    events: list[Event] = []
    train(recipe, killed, on_event=events.append)
    assert events[0] == RunStarted(killed, resumed=True, steps={"pretrain": 6, "instruct": 6})
    assert [(e.stage, e.first_step) for e in events if isinstance(e, StageStarted)] == [("instruct", 4)]
    _same(killed, whole)


def test_ctrl_c_saves_the_step_it_falls_on_and_says_how_to_go_on(recipe: Recipe, whole: Path, tmp_path: Path) -> None:
    stopped, output = tmp_path / "stopped", tmp_path / "output"
    child = start(CHILD, [recipe_file(recipe, stopped), str(stopped), "wait", "pretrain", "3"], output)
    said(child, output, "waiting\n")
    assert child.pid is not None
    os.kill(child.pid, signal.SIGINT)
    Path(f"{stopped}-go").touch()
    assert exit_code(child) == 130
    words = output.read_text()
    assert "stopped as asked after step 3 of 6 of stage pretrain; all is saved in" in words
    assert "the same command goes on from there" in words
    train(recipe, stopped)
    _same(stopped, whole)


def test_a_damaged_newest_checkpoint_costs_its_steps_and_no_more(recipe: Recipe, whole: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(whole, tmp_path / "damaged")
    newest = damaged / "instruct" / "checkpoints" / "step-00000006" / "weights.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    (damaged / "model").rename(tmp_path / "aside")
    events: list[Event] = []
    train(recipe, damaged, on_event=events.append)
    assert ["step-00000006" in e.text for e in events if isinstance(e, Warned)] == [True]
    assert [(e.stage, e.first_step) for e in events if isinstance(e, StageStarted)] == [("instruct", 4)]
    _same(damaged, whole)


def test_a_finished_run_started_again_says_so_and_changes_nothing(recipe: Recipe, whole: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    events: list[Event] = []
    assert train(recipe, whole, on_event=events.append) == whole
    assert events == [RunFinished(whole, before=True)]
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


@pytest.mark.parametrize("damage", ["empty", "without weights", "cut"])
def test_a_model_that_is_not_whole_is_written_anew(recipe: Recipe, whole: Path, tmp_path: Path, damage: str) -> None:
    run = shutil.copytree(whole, tmp_path / "run")
    weights = run / "model" / "model.safetensors"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-1])
    else:
        weights.unlink()
    if damage == "empty":
        shutil.rmtree(run / "model")
        (run / "model").mkdir()
    events: list[Event] = []
    train(recipe, run, on_event=events.append)
    assert ["it is written anew from the stages' checkpoints" in e.text for e in events if isinstance(e, Warned)] == [
        True
    ]
    assert events[-1] == RunFinished(run, before=False)
    _same(run, whole)


def test_what_training_did_not_put_there_is_named_and_left_alone(recipe: Recipe, whole: Path, tmp_path: Path) -> None:
    run = shutil.copytree(whole, tmp_path / "run")
    shutil.rmtree(run / "model")
    (run / "model").mkdir()
    (run / "model" / "thesis.tex").write_text("years of work")
    with pytest.raises(CheckpointError, match="model is in the way, which training did not put there: move it away"):
        train(recipe, run)
    (run / "model" / "thesis.tex").rename(run / "thesis.tex")
    (run / "model").rmdir()
    (run / "thesis.tex").rename(run / "model")
    with pytest.raises(CheckpointError, match=r"the file .*model is in the way"):
        train(recipe, run)
    assert (run / "model").read_text() == "years of work"


def test_a_run_folder_that_goes_away_while_training_is_told(recipe: Recipe, tmp_path: Path) -> None:
    run = tmp_path / "run"

    def rename(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == 2:
            run.rename(tmp_path / "elsewhere")

    with pytest.raises(CheckpointError, match="run is gone"):
        train(recipe, run, on_event=rename)
    assert not run.exists()

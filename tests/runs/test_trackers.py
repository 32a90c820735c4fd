"""Trackers under libraries of the same API, which keep what they are told."""

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from modalink.errors import MissingExtraError, OptionError, TrainingError, UnknownNameError
from modalink.runs.metrics import Metrics
from modalink.runs.trackers import chosen, opened, where
from modalink.settings import in_environment, run_settings


class _Kept:
    """One run of a tracker's library."""

    def __init__(self, calls, identity):
        self.calls, self.id = calls, identity
        self.info = SimpleNamespace(run_id=identity)

    def log(self, numbers, step):
        self.calls.append(("log", step, numbers))

    def finish(self):
        self.calls.append("finished")


def _library(monkeypatch, name, **functions):
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    vars(module).update(functions)
    monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def calls(monkeypatch):
    """What the three libraries were told, in order."""
    told = []

    def begin(*given, **options):
        told.append(("begin", given, options))
        return _Kept(told, options.get("id") or options.get("run_id") or "new-id")

    log = _Kept(told, "").log
    _library(monkeypatch, "wandb", init=begin, login=lambda prompt: False)
    _library(monkeypatch, "trackio", init=begin)
    _library(
        monkeypatch, "mlflow", set_experiment=lambda name: told.append(name), start_run=begin,
        log_metrics=log, end_run=lambda: told.append("finished"),
    )  # fmt: skip
    for variable in (
        "WANDB_MODE",
        "WANDB_PROJECT",
        "MLFLOW_EXPERIMENT_NAME",
        "MLFLOW_EXPERIMENT_ID",
        "TRACKIO_PROJECT",
    ):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")
    return told


def _write(folder: Path, track, step):
    metrics = Metrics(folder, step - 1, track)
    metrics.write({"step": step, "losses": {"language": 0.5}})
    metrics.close()


@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio"])
def test_a_stage_is_a_run_that_goes_on(calls, tmp_path, name):
    folder = tmp_path / "mine" / "pretrain"
    folder.mkdir(parents=True)
    for step in (1, 2):
        _write(folder, (name,), step)
    begun = [call for call in calls if call[0] == "begin"]
    assert len(begun) == 2 and "mine-pretrain" in str(begun[0])
    assert [call for call in calls if call[0] == "log"] == [("log", n, {"losses/language": 0.5}) for n in (1, 2)]
    assert calls.count("finished") == 2
    assert begun[1][2].get("resume") == "allow" or begun[1][2]["run_id"] == "new-id"
    assert not (folder / "tensorboard").exists()


def test_without_a_key_weights_and_biases_is_offline_and_asks_nothing(calls, tmp_path):
    folder = tmp_path / "mine" / "pretrain"
    folder.mkdir(parents=True)
    _write(folder, ("wandb",), 1)
    options = calls[0][2]
    assert (options["mode"], options["project"], options["id"]) == ("offline", "modalink", None)
    _write(folder, ("wandb",), 2)
    assert calls[-3][2]["id"] == "new-id"


def test_a_tracker_that_fails_says_so_in_a_line(monkeypatch, tmp_path):
    def fail(*given, **options):
        raise ConnectionError("no server\nlong trace")

    _library(monkeypatch, "trackio", init=fail)
    with pytest.raises(TrainingError, match=r"^track=trackio: cannot be opened \(no server\); "):
        Metrics(tmp_path, 0, ("trackio",))


def test_a_library_that_is_missing_and_a_name_that_is_wrong(monkeypatch):
    monkeypatch.setattr("modalink.runs.trackers.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"track=wandb needs the package 'wandb'.*modalink\[wandb\]"):
        chosen(["wandb"])
    with pytest.raises(UnknownNameError, match="did you mean 'wandb'"):
        chosen(["wandbb"])
    assert chosen(None) == ()


def test_one_setting_names_them(monkeypatch, tmp_path):
    assert run_settings().track is None
    assert run_settings(track="off").track == ()
    monkeypatch.setenv("MODALINK_TRACK", "tensorboard, wandb")
    settings = run_settings()
    assert settings.track == ("tensorboard", "wandb")
    assert in_environment(settings)["MODALINK_TRACK"] == "tensorboard,wandb"
    assert in_environment(run_settings(track="off"))["MODALINK_TRACK"] == "off"
    with pytest.raises(OptionError):
        run_settings(track=3)
    assert where(("tensorboard",), Path("runs/a")) == ["curves: tensorboard --logdir runs/a"]


def test_a_folder_that_goes_away_is_told_by_the_call_and_by_no_traceback_of_a_thread(tmp_path, capfd):
    (tracker,) = opened(["tensorboard"], tmp_path / "stage", 0)
    (tmp_path / "stage").rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError):  # by whichever call comes after the thread
        tracker.log({"loss": 1.0}, 1)
        tracker.close()
    assert "Traceback" not in capfd.readouterr().err

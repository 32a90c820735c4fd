"""A package brings a modality, parts for both directions, an objective, data and a benchmark, without a line in modalink."""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

import modalink
from modalink import kinds, modalities
from modalink.cli.main import app
from modalink.recipe import load
from modalink.scoring import registry
from modalink.testing import (
    check_encoder,
    check_generator,
    check_input_projector,
    check_modality,
    check_output_projector,
)
from modalink.testing.checkpoints import tiny_llama
from tests.support.forks import ended

PACKAGE = Path(__file__).parents[1] / "support" / "package"
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CHILD = Path(__file__).parents[1] / "training" / "child.py"


def _forget():
    for known in (kinds.kinds, kinds.config_class, modalities.get, modalities.records, registry.all_benchmarks):
        known.cache_clear()


@pytest.fixture(scope="module", autouse=True)
def installed():
    """The package on the path, with its entry points, as `pip install` leaves it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PACKAGE))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")]))
        _forget()
        yield
        for name in [name for name in sys.modules if name.partition(".")[0] == "beeps"]:
            del sys.modules[name]
    _forget()


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    stage = {
        "name": "both",
        "train": {
            "inputs.beep.projector": {"lr": 0.02},
            "outputs.beep.projector": {"lr": 0.02},
            "llm.new_tokens": {"lr": 0.02},
            "llm.lora": {"lr": 0.02},
        },
        "objectives": [{"kind": "language"}, {"kind": "sound", "weight": 4.0}],
        "data": [{"source": "beeps"}],
        "batch": 8,
        "steps": 60,
        "checkpoint_every": 10,
        "precision": "float32",
    }
    data = {
        "name": "beeper",
        "inputs": {"beep": {"encoder": {"kind": "ear"}, "projector": {"kind": "average"}}},
        "llm": {"checkpoint": str(tiny_llama(folder / "llm")), "lora": {"rank": 8, "alpha": 16, "targets": LINEARS}},
        "prompt": {"template": "vicuna-v1.1"},
        "outputs": {
            "beep": {"signal_tokens": 2, "projector": {"kind": "score"}, "generator": {"kind": "synth", "hiss": 0.0}}
        },
        "stages": [stage],
    }
    file = folder / "beeper.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False))
    return file


def call(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    """A run that was killed after 13 steps, and went on."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    output = folder.with_name("output")
    killed = ended(str(CHILD), [str(recipe), str(folder), "kill", "both", "13"], output)
    assert killed == -signal.SIGKILL and not (folder / "model").exists(), output.read_text()
    call("train", recipe, "--run", folder)
    return folder


def test_its_parts_keep_the_promises_of_their_roles():
    from beeps import modality, parts

    check_modality(modality.RECORD)
    check_encoder(parts.EarConfig(), from_files=False)
    check_input_projector(parts.AverageConfig())
    check_output_projector(parts.ScoreConfig())
    check_generator(parts.SynthConfig(), from_files=False)


def test_the_doctor_examines_its_recipe(recipe):
    said = call("doctor", recipe)
    assert "beep in: encoder 1 x 9, projector 1 x 32" in said
    assert "beep out: 2 signal tokens x 32, projector 2 x 8, generator 2 x 8" in said
    assert "objective sound" in said


def test_its_tiny_form_is_of_its_own_parts_and_data(recipe):
    said = call("doctor", recipe, "--tiny")
    assert "beeps/" in said and "tiny_world" not in said


def test_a_killed_run_goes_on_and_ends_as_one_that_was_not(recipe, run, tmp_path):
    call("train", recipe, "--run", tmp_path / "whole")
    weights = [folder / "model" / "model.safetensors" for folder in (run, tmp_path / "whole")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_what_was_saved_hears_and_plays(run, tmp_path):
    from beeps.modality import beep

    session = modalink.load(run)
    for pitch, name in ((1, "low"), (4, "top")):
        assert session.ask("?", beep=beep(pitch), max_new_tokens=4).text.strip() == name
        ((modality, sound),) = session.ask(f"{name}!", max_new_tokens=4).media
        assert modality == "beep" and np.abs(sound - beep(pitch)).mean() < 0.2
    np.save(tmp_path / "low.npy", beep(1))
    assert call("ask", run, "?", "--media", f"beep={tmp_path / 'low.npy'}", "--max-new-tokens", 4).strip() == "low"


def test_its_benchmark_is_put_to_it(run, tmp_path):
    from beeps.modality import beep

    rows = [{"file": f"{pitch}.npy", "name": name} for pitch, name in ((1, "low"), (4, "top"))]
    (tmp_path / "beeps.json").write_text(json.dumps(rows))
    for pitch in (1, 4):
        np.save(tmp_path / f"{pitch}.npy", beep(pitch))
    found = json.loads(call("evaluate", run, "--benchmark", "beeps", "--data", tmp_path, "--json"))
    assert found["score"] == 100 and found["count"] == 2


def test_what_it_asks_of_a_system_is_checked(recipe):
    with pytest.raises(modalink.ModalinkError, match="the encoder 'ear' reads beep, needed one that reads image"):
        load(recipe, ["inputs={image: {encoder: {kind: ear}, projector: {kind: average}}}"])

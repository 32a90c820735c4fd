import json
import os
import signal
import subprocess
import sys

import torch


def test_a_recipe_becomes_a_run(modalink, recipe, tmp_path):
    run = tmp_path / "run"
    result = modalink("train", recipe, "stages.0.steps=3", "--run", run)
    assert result.exit_code == 0, result.stderr
    assert "inputs.image.projector" in result.output and "frozen" in result.output
    assert "pretrain: step 3 of 3, language " in result.output
    assert result.output.splitlines()[-1] == f"{run}: complete"
    assert (run / "model").is_dir()
    again = modalink("train", recipe, "stages.0.steps=3", "--run", run)
    assert again.output == f"{run}: was complete before\n"


def test_another_recipe_does_not_go_on_with_a_run(modalink, recipe, tmp_path):
    modalink("train", recipe, "--run", tmp_path / "run")
    result = modalink("train", recipe, "seed=1", "--run", tmp_path / "run")
    assert result.exit_code == 1
    assert "holds a run of another recipe; they differ in\n  seed: the run has 0, the recipe 1" in result.stderr


def test_events_as_json(modalink, recipe, tmp_path):
    result = modalink("train", recipe, "--run", tmp_path / "run", "--json")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    names = [event["event"] for event in events]
    assert names == ["RunStarted", "StageStarted", "StepDone", "StepDone", "CheckpointSaved", "RunFinished"]
    assert events[2]["record"]["losses"]["language"] > 0


def test_bad_data_end_it_with_the_place(modalink, recipe, tmp_path):
    data = "stages.0.data=[{source: llava_json, path: nowhere.json}]"
    result = modalink("train", recipe, data, "--run", tmp_path / "run")
    assert result.exit_code == 1
    assert result.stderr.startswith("modalink: nowhere.json: looked for files ending with .json, .jsonl")


def test_ctrl_c_saves_and_the_same_command_goes_on(recipe, tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-c", "from modalink.cli.main import main; main()", "train", str(recipe)]
    command += ["stages.0.steps=100000", "--run", str(run), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while '"StepDone"' not in process.stdout.readline():
            assert process.poll() is None
        os.kill(process.pid, signal.SIGINT)
        _, stderr = process.communicate()
    assert process.returncode == 130
    assert stderr.startswith("modalink: stopped as asked after step ") and "Traceback" not in stderr
    assert list((run / "pretrain" / "checkpoints").iterdir())


def test_the_machines_settings_come_from_options_and_environment(modalink, recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("MODALINK_DEVICE", "gpu")
    result = modalink("train", recipe, "--run", tmp_path / "run")
    assert (result.exit_code, "found the device 'gpu', needed cpu" in result.stderr) == (2, True)
    threads = str(torch.get_num_threads())
    result = modalink(
        "train", recipe, "--run", tmp_path / "run", "--device", "cpu", "--threads", threads, "--workers", 0
    )
    assert result.exit_code == 0, result.stderr
    assert "device" not in (tmp_path / "run" / "recipe.yaml").read_text()

"""The demo from beginning to end, on a schedule of a few steps, and the evaluation of its run."""

import json

import pytest
from PIL import Image

from modalink.cli.demo import shortened
from modalink.recipe import load

SHORT = [
    setting
    for i in range(len(load("demo").stages))
    for setting in (f"stages.{i}.steps=2", f"stages.{i}.batch=4", f"stages.{i}.warmup=0")
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished demo: its run folder and what it printed."""
    from typer.testing import CliRunner

    from modalink.cli.main import app

    run = tmp_path_factory.mktemp("runs") / "demo"
    result = CliRunner().invoke(app, ["demo", "--run", str(run), "--samples", "4", *SHORT])
    assert result.exit_code == 0, result.stderr
    return run, result.output


def test_it_trains_evaluates_and_reports(finished):
    run, printed = finished
    found = json.loads((run / "report.json").read_text())
    heldout = found["heldout"]
    for value in (
        heldout["caption_attributes"],
        heldout["vqa"],
        heldout["drawn_objects"],
        heldout["baselines"]["majority"],
        heldout["baselines"]["no_image"],
        found["trainable_share"],
        *heldout["vqa_by_kind"].values(),
    ):
        assert 0 <= value <= 1
    assert heldout["split"] == "test"
    assert found["training_seconds"] > 0
    assert 0 < found["trainable_share"] < 0.2
    page = (run / "report.html").read_text()
    for section in ("headline", "seeing", "drawing", "kinds", "learning", "parts", "ledger"):
        assert f'<section id="{section}">' in page
    assert "held-out numbers" in printed and "questions by kind" in printed


def test_it_says_what_to_try_next_and_that_works(finished, modalink):
    run, printed = finished
    for name in ("1.png", "2.png", "3.png"):
        assert Image.open(run / "examples" / name).size == (64, 64)
    assert f'modalink ask {run} "what do you see?" --image {run / "examples" / "1.png"}' in printed
    answer = modalink("ask", run, "what do you see?", "--image", run / "examples" / "1.png")
    assert answer.exit_code == 0 and answer.stdout.strip()


def test_again_it_only_evaluates(finished, modalink):
    run, _ = finished
    before = (run / "model" / "model.safetensors").stat().st_mtime_ns
    result = modalink("demo", "--run", run, "--samples", 1, *SHORT)
    assert result.exit_code == 0, result.stderr
    assert "was complete before" in result.output
    assert (run / "model" / "model.safetensors").stat().st_mtime_ns == before
    assert json.loads((run / "report.json").read_text())["heldout"]["counts"]["vqa"] == 1


def test_evaluate_writes_the_run_s_report_and_json(finished, modalink):
    run, _ = finished
    result = modalink(
        "evaluate", run, "--benchmark", "tiny-world", "--split", "validation", "--limit", 2, "--option", "seed=5",
        "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["split"] == "validation" and found["seed"] == 5
    written = json.loads((run / "report.json").read_text())["heldout"]
    assert {key: written[key] for key in ("vqa", "drawn_objects", "counts")} == {
        key: found[key] for key in ("vqa", "drawn_objects", "counts")
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--benchmark", "imagenet"], "tiny_world"), ([], "--benchmark")],
)
def test_wrong_use_of_evaluate_is_told(modalink, tmp_path, arguments, words):
    result = modalink("evaluate", tmp_path, *arguments)
    assert result.exit_code == 2 and words in result.stderr


def test_evaluate_needs_a_finished_run(modalink, tmp_path):
    result = modalink("evaluate", tmp_path, "--benchmark", "tiny-world")
    assert result.exit_code == 1 and "no run" in result.stderr


def test_fast_is_a_tenth():
    recipe = load("demo")
    fast = shortened(recipe)
    for stage, short in zip(recipe.stages, fast.stages, strict=True):
        assert short.steps == max(2, round(stage.steps / 10))
        assert short.replace(steps=stage.steps) == stage

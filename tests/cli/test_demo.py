"""The demo from beginning to end, on a schedule of a few steps, and the evaluation of its run."""

import json
import shlex

import pytest

from modalink.cli.demo import OUTPUTS, inputs_of, making, outputs_of, reading, recipe_of, shortened
from modalink.errors import RecipeError
from modalink.recipe import load

SHORT = [
    setting
    for i in range(len(load("demo").stages))
    for setting in (f"stages.{i}.steps=2", f"stages.{i}.batch=16", f"stages.{i}.warmup=0")
]
SHORT += ["outputs.image.generator.steps=3"]  # what is drawn after two steps of training is judged by no test

ALL = ["--inputs", "image,video,audio,points"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished demo: its run folder and what it printed."""
    from typer.testing import CliRunner

    from modalink.cli.main import app

    run = tmp_path_factory.mktemp("runs") / "demo"
    result = CliRunner().invoke(app, ["demo", "--run", str(run), "--samples", "4", *ALL, *SHORT])
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
    examples = run / "examples"
    commands = [
        f'"what do you see?" --image {examples / "1.png"}',
        f'"what happens?" --video {examples / "2.mp4"}',
        f'"what do you hear?" --audio {examples / "3.wav"}',
        f'"what do the points show?" --points {examples / "4.ply"}',
        f"--audio {examples / '5a.wav'} --video {examples / '5b.mp4'}",
    ]
    told = [line.strip() for line in printed.splitlines() if "modalink ask" in line]
    for command, line in zip(commands, told, strict=False):
        assert line.startswith(f"modalink ask {run} ") and line.endswith(command)
        answer = modalink(*shlex.split(line)[1:])
        assert answer.exit_code == 0 and answer.stdout.strip()


def test_what_beside_pictures_it_reads_is_asked_about_too(finished):
    found = json.loads((finished[0] / "report.json").read_text())["heldout"]["others"]
    assert list(found) == ["video", "audio", "points", "across"]


@pytest.mark.parametrize("chosen", ["image", "audio", "image,audio", "video, audio,points"])
def test_of_fewer_inputs_nothing_else_is_trained_or_shown(chosen):
    names = [name.strip() for name in chosen.split(",")]
    recipe = reading(load("demo-all"), names)
    assert list(recipe.inputs) == names
    told = {stage.name for stage in recipe.stages}
    assert told == {"pretrain-inputs", "pretrain-drawing", "instruct-drawing", "instruct"}
    for stage in recipe.stages:
        groups = {str(group).split(".")[1] for group in stage.train if str(group).startswith("inputs.")}
        assert groups == (set(names) if "inputs" in stage.name or stage.name == "instruct" else set())
        for source in stage.data:
            assert set(source.shows) <= {*names, "across", "image"}
            assert "image" in names or "image" not in source.shows or set(source.tasks) == {"draw"}
            assert "across" not in source.shows or set(source.modalities) <= set(names)


def test_an_input_that_is_named_twice_is_read_once():
    assert inputs_of("image, image") == ["image"]
    assert inputs_of("audio,image, audio") == ["audio", "image"]


def test_an_unknown_input_is_told(modalink, tmp_path):
    result = modalink("demo", "--run", tmp_path / "run", "--inputs", "image,smell")
    assert result.exit_code == 2 and "'smell'" in result.stderr and "audio" in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("made", OUTPUTS)
def test_of_fewer_outputs_nothing_else_is_trained_or_asked_for(made):
    whole = load(recipe_of(["image"], OUTPUTS))
    assert making(whole, [*reversed(OUTPUTS)]) is whole
    recipe = making(whole, [made])
    assert list(recipe.outputs) == [made] and len(recipe.stages) == 4
    groups = {str(group).split(".")[1] for stage in recipe.stages for group in stage.train if "outputs" in str(group)}
    assert groups == {made}
    asked = {
        (task, show) for stage in recipe.stages for data in stage.data for task in data.tasks for show in data.shows
    }
    assert ("draw" in dict(asked)) == (made == "image")
    assert {show for task, show in asked if task == "make"} == {made} - {"image"}
    losses = {loss.kind: loss.modalities for loss in recipe.stages[-1].objectives if loss.kind != "language"}
    restored = {"codes": ("audio",)} if made == "audio" else {"diffusion": (made,)} if made != "points" else {}
    assert losses == {"align": None} | restored


def test_what_it_makes_and_reads_decides_the_recipe(modalink, tmp_path):
    assert recipe_of(["image"], ["image"]) == "demo" and recipe_of(["audio"], ["image"]) == "demo-all"
    assert recipe_of(["image"], ["points"]) == "demo-makes"
    assert outputs_of("points, image,points") == ["points", "image"]
    with pytest.raises(
        RecipeError, match="found the inputs image, audio beside the outputs points, needed one of them"
    ):
        recipe_of(["image", "audio"], ["points"])
    result = modalink("demo", "--run", tmp_path / "run", "--outputs", "image,smell")
    assert result.exit_code == 2 and "'smell'" in result.stderr and "points" in result.stderr


def test_again_it_only_evaluates(finished, modalink):
    run, _ = finished
    before = (run / "model" / "model.safetensors").stat().st_mtime_ns
    result = modalink("demo", "--run", run, "--samples", 1, *ALL, *SHORT)
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

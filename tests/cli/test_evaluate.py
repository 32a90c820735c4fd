"""`modalink evaluate` on published benchmarks: what it prints and writes."""

import json
import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from modalink import kinds
from modalink.evaluation.evaluators import Evaluator
from modalink.kinds import Settings
from modalink.scoring import registry
from modalink.scoring.measures import Baseline, Measure
from modalink.scoring.registry import catalogue


@pytest.fixture
def data(tmp_path):
    """Q-Bench's folder with three questions."""
    rows = [
        {"img_path": f"{n}.png", "question": f"Q{n}?", "candidates": ["good", "bad"], "correct_ans": "bad"}
        for n in range(3)
    ]
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "data" / "llvisionqa_dev.json").write_text(json.dumps(rows))
    for n in range(3):
        Image.new("RGB", (8, 8), (80 * n, 0, 0)).save(tmp_path / "data" / "images" / f"{n}.png")
    return tmp_path / "data"


def test_it_answers_scores_and_tells_how_to_score_again(modalink, run, data):
    asked = ("evaluate", run, "--benchmark", "qbench", "--data", data, "--max-new-tokens", 3, "--batch", 2)
    result = modalink(*asked)
    assert result.exit_code == 0, result.stderr
    file = run / "evaluation" / "qbench" / "predictions.jsonl"
    assert "Q-Bench A1: 0 of 3 answered\nQ-Bench A1: 2 of 3 answered\nQ-Bench A1: 3 of 3 answered" in result.stdout
    assert "rule: accuracy; a letter or option text alone" in result.stdout
    assert f"answers: {file}\nagain:   modalink score qbench --predictions {file}" in result.stdout
    found = json.loads(modalink(*asked, "--json").stdout)
    (command,) = (line.split(maxsplit=1)[1] for line in result.stdout.splitlines() if line.startswith("again:"))
    again = json.loads(modalink(*command.split()[1:], "--json").stdout)
    assert again == {key: value for key, value in found.items() if key not in ("predictions", "skipped", "command")}
    assert found["count"] == 3 and found["predictions"] == str(file) and found["skipped"] == []


def test_what_is_left_out_is_told(modalink, run, data, tmp_path):
    (data / "images" / "1.png").unlink()
    asked = ("evaluate", run, "--benchmark", "qbench", "--data", data, "--max-new-tokens", 2, "--out", tmp_path / "out")
    result = modalink(*asked)
    assert result.exit_code == 1
    assert "1 of 3 questions show media that are not in" in result.stderr and "question 1.png" in result.stderr
    result = modalink(*asked, "--partial")
    assert result.exit_code == 0, result.stderr
    assert "left out: question 1.png: no file for '1.png'" in result.stdout
    assert "note: partial: 1 of 3 questions have no prediction (1.png); 2 scored" in result.stdout


def test_a_benchmark_for_a_judge_says_how_to_score_later(modalink, run, data):
    (data / "questions.jsonl").write_text('{"question_id": 0, "image": "0.png", "text": "What?", "category": "conv"}\n')
    asked = ("evaluate", run, "--benchmark", "llava_bench", "--data", data, "--max-new-tokens", 2)
    result = modalink(*asked)
    assert result.exit_code == 0, result.stderr
    assert "A judge scores them, and none was given; score them later:\n  modalink score llava_bench" in result.stdout
    found = json.loads(modalink(*asked, "--json").stdout)
    assert found["score"] is None and found["benchmark"] == "llava_bench"
    reviews = data / "reviews.jsonl"
    reviews.write_text('{"question_id": 0, "content": "8 6\\nwell"}\n')
    result = modalink(*asked, "--option", f"replies={reviews}")
    assert result.exit_code == 0 and "llava_bench: 75 percent" in result.stdout


def test_another_prompt_is_noted(modalink, run, data, tmp_path):
    result = modalink(
        "evaluate", run, "--benchmark", "qbench", "--data", data, "--prompt", "{question}", "--out", tmp_path / "out",
        "--max-new-tokens", 2,
    )  # fmt: skip
    assert result.exit_code == 0 and "note: asked with the prompt '{question}'" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--benchmark", "vqa2"], 2, "did you mean 'vqav2'"),
        (["--benchmark", "vqav2"], 2, "needed --data FOLDER"),
        (["--benchmark", "fid"], 2, "FID asks a model no questions"),
        (["--benchmark", "tiny-world", "--data", "DATA"], 2, "makes its own questions"),
        (["--benchmark", "tiny-world", "--option", "sed=1"], 2, "did you mean 'seed'"),
        (["--benchmark", "tiny-world", "--split", "train"], 2, "validation"),
        (["--benchmark", "vqav2", "--data", "none"], 1, "no such folder"),
        (["--benchmark", "mmvet", "--data", "DATA"], 1, "needed mm-vet.json"),
        (["--benchmark", "qbench", "--data", "DATA", "--option", "parse=x"], 2, "option parse: found 'x'"),
    ],
)
def test_wrong_use(modalink, run, data, arguments, code, says):
    result = modalink("evaluate", run, *(str(data) if word == "DATA" else word for word in arguments))
    assert result.exit_code == code and says in result.stderr and "Traceback" not in result.stderr


class Sketches(Settings):
    """Options of a benchmark of another package."""

    limit: int = 5
    colour: str = "red"


class Found:
    """What that benchmark gives: how often its one number was asked for."""

    def __init__(self, options: Sketches) -> None:
        self.options = options

    def to_dict(self):
        return {"lines": 0.5, "colour": self.options.colour, "count": self.options.limit, "examples": ["long"]}

    def tables(self):
        return {"sketches": [Measure("lines", 0.5, 0.25, 0.75, 5, "lines that meet", [Baseline("no ink", 0.125)])]}


def evaluate_sketches(system, options, on_task):
    on_task("sketches")
    assert "image" in system.spec.inputs
    return Found(options)


@pytest.fixture
def sketches(monkeypatch):
    """Another package's benchmark that evaluates by itself."""
    plugin = SimpleNamespace(EVALUATOR=Evaluator(options=Sketches, evaluate=evaluate_sketches))
    monkeypatch.setitem(sys.modules, "sketch_plugin", plugin)
    points = {
        "modalink.evaluation.evaluators": EntryPoint(
            "sketches", "sketch_plugin:EVALUATOR", "modalink.evaluation.evaluators"
        )
    }
    monkeypatch.setattr(kinds, "entry_points", lambda group: [points[group]] if group in points else [])
    monkeypatch.setitem(registry.all_benchmarks(), "sketches", registry.load("chartqa")[1])
    kinds.kinds.cache_clear()
    yield
    monkeypatch.undo()
    kinds.kinds.cache_clear()


def test_another_package_s_benchmark_evaluates_by_itself(modalink, run, sketches):
    result = modalink("evaluate", run, "--benchmark", "sketches", "--limit", 3)
    assert result.exit_code == 0, result.stderr
    assert (
        "evaluating: sketches" in result.stdout
        and "lines that meet" in result.stdout
        and "12.5 % no ink" in result.stdout
    )
    result = modalink("evaluate", run, "--benchmark", "sketches", "--option", "colour=blue", "--json")
    assert json.loads(result.stdout) == {"lines": 0.5, "colour": "blue", "count": 5}
    result = modalink("evaluate", run, "--benchmark", "sketches", "--option", "color=blue")
    assert result.exit_code == 2 and "did you mean 'colour'" in result.stderr


def test_a_hub_id_needs_a_folder_for_the_answers(modalink, data):
    result = modalink("evaluate", "some/model", "--benchmark", "qbench", "--data", data)
    assert result.exit_code == 2 and "--out FOLDER" in result.stderr


def test_the_guide_names_the_files_of_every_benchmark_about_media():
    guide = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    cells = [line.split("|")[1] for line in guide.splitlines() if line.startswith("| ")]
    named = {name for cell in cells for name in re.split(r"[,/ ]+", cell) if name} - {"benchmark", "---"}
    about = (
        "files by their names",
        "it asks for image",
        "it asks for audio",
        "it asks for video",
        "it asks for points",
    )
    asked = {row["name"] for row in catalogue() if row["data"].endswith(about)}
    assert named == asked | {"tiny_world"}

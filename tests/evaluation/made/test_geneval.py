"""GenEval from its own file of prompts, by detectors of classes and of words."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modalink.errors import DataError, OptionError
from modalink.evaluation.dataset import open_dataset
from modalink.evaluation.made import detecting
from modalink.evaluation.made.detecting import Colours, Detector
from modalink.evaluation.made.evaluate import evaluate
from modalink.evaluation.media_features import HubEncoder
from modalink.model import System
from modalink.scoring.score import score
from modalink.testing.lookers import tiny_owlvit, tiny_yolos
from tests.conftest import Write

CLASSES = ("dog", "Remote", "traffic light")
ROWS = [
    {"tag": "single_object", "include": [{"class": "dog", "count": 1}], "prompt": "a photo of a dog"},
    {"tag": "counting", "include": [{"class": "dog", "count": 2}], "exclude": [{"class": "dog", "count": 3}], "prompt": "a photo of two dogs"},
    {"tag": "colors", "include": [{"class": "tv remote", "count": 1, "color": "red"}], "prompt": "a photo of a red tv remote"},
    {"tag": "position", "include": [{"class": "dog", "count": 1}, {"class": "traffic light", "count": 1, "position": ["left of", 0]}], "prompt": "a photo of a traffic light left of a dog"},
]  # fmt: skip


@pytest.fixture
def data(write: Write, tmp_path: Path) -> Path:
    write("geneval/prompts/evaluation_metadata.jsonl", ROWS)
    return tmp_path / "geneval"


@pytest.fixture
def yolos(tmp_path: Path) -> str:
    return str(tiny_yolos(tmp_path / "yolos", CLASSES))


def run(system: System, data: Path, out: Path, **options: object):
    dataset = open_dataset(
        "geneval", data, options={"ask": "false"} | {key: str(value) for key, value in options.items()}
    )
    return evaluate(system, dataset, out=out, max_new_tokens=8)


def test_from_prompts_to_the_score_and_resumed(
    painter: System, data: Path, yolos: str, clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"detector": yolos, "clip": clip, "per_prompt": 2}
    looks, seen = Detector.__call__, []

    def killed(self, image, names):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(names)
        return looks(self, image, names)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Detector, "__call__", killed)
        run(painter, data, tmp_path / "out", **options)
    (found,) = (tmp_path / "out").glob("detections-*/predictions.jsonl")
    assert len(found.read_text().splitlines()) == 3
    report = run(painter, data, tmp_path / "out", **options).report
    rows = [json.loads(line) for line in found.read_text().splitlines()]
    assert [row["question_id"] for row in rows] == [f"{n:05d}-{k}" for n in range(4) for k in range(2)]
    assert report.count == 8 and 0 <= report.score <= 1 and report.unit == "fraction"
    assert {"task/single_object", "task/counting", "task/colors", "task/position"} <= report.metrics.keys()
    assert report.score == pytest.approx(np.mean([report.metrics[f"task/{row['tag']}"] for row in ROWS]))
    coloured = {colour for row in rows for name, _, _, colour in json.loads(row["objects"]) if name == "tv remote"}
    assert coloured <= set(detecting.COLOURS) and {row[3] for r in rows[:4] for row in json.loads(r["objects"])} <= {""}
    again = score("geneval", tmp_path / "out", data / "prompts" / "evaluation_metadata.jsonl")
    assert again.metrics == report.metrics


def test_the_rules_are_told_by_what_is_written_down(
    painter: System, data: Path, yolos: str, clip: str, tmp_path: Path
) -> None:
    """Detections by hand, in the place of those of a detector."""
    run(painter, data, tmp_path, detector=yolos, clip=clip, per_prompt=1)
    (file,) = tmp_path.glob("detections-*/predictions.jsonl")
    dog, light = ["dog", [20, 0, 30, 10], 0.5, ""], ["traffic light", [0, 0, 8, 10], 0.4, ""]
    objects = {
        "00000": [dog],
        "00001": [dog, dog],  # counted only where the detector is surer than 0.9
        "00002": [["tv remote", [0, 0, 9, 9], 0.8, "red"]],
        "00003": [dog, light],
    }
    rows = [{"question_id": key, "objects": json.dumps(own)} for key, own in objects.items()]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    prompts = data / "prompts" / "evaluation_metadata.jsonl"
    report = score("geneval", tmp_path, prompts)
    tasks = {name: value for name, value in report.metrics.items() if name.startswith("task/")}
    assert tasks == {"task/single_object": 1, "task/counting": 0, "task/colors": 1, "task/position": 1}
    assert report.score == 0.75 and report.summary.items[1].grade.answer == "expected 2 dog, found 0"
    assert score("geneval", tmp_path, prompts, {"counting_threshold": "0.4"}).score == 1
    assert score("geneval", tmp_path, prompts, {"threshold": "0.45"}).metrics["task/position"] == 0
    file.write_text('{"question_id": "00000", "objects": "[[1]]"}\n')
    with pytest.raises(DataError, match="found no detections"):
        score("geneval", tmp_path, prompts)


def test_wrong_use(painter: System, data: Path, yolos: str, clip: str, tmp_path: Path) -> None:
    other = str(tiny_yolos(tmp_path / "other", ("cat", "dog")))
    for options, error, says in (
        ({}, OptionError, "needed --option detector=CHECKPOINT"),
        ({"detector": yolos}, OptionError, "needed --option clip=CHECKPOINT"),
        ({"detector": other, "clip": clip}, OptionError, "does not know tv remote, traffic light; it knows cat, dog"),
    ):
        with pytest.raises(error, match=says):
            run(painter, data, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"tag": "x", "include": [], "prompt": "p"}, "found nothing under 'include'"),
        ({"tag": "x", "include": [{"class": "dog", "count": 0}], "prompt": "p"}, "needed {class, count}"),
        ({"tag": "x", "include": [{"class": "dog", "color": "teal"}], "prompt": "p"}, "found the colour 'teal'"),
        (
            {"tag": "x", "include": [{"class": "dog", "position": ["left of", 0]}], "prompt": "p"},
            "the place of an entry before",
        ),
        ({"include": [{"class": "dog"}], "prompt": "p"}, "needed the task under 'tag'"),
    ],
)
def test_prompts_that_cannot_be_judged_are_told_with_their_row(row, says, write: Write, tmp_path: Path) -> None:
    write("bad/evaluation_metadata.jsonl", [row])
    with pytest.raises(DataError, match=says):
        open_dataset("geneval", tmp_path / "bad")


def test_detectors_of_words_look_for_what_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detecting, "LEAST", 0.0)
    detector = Detector(str(tiny_owlvit(tmp_path / "owl")))
    detector.check(["anything at all"])
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))
    found = detector(image, ["red cube", "dog"])
    assert found and {name for name, _, _ in found} <= {"red cube", "dog"} and all(len(box) == 4 for _, box, _ in found)


def test_colours_are_those_of_the_nearest_words(clip: str) -> None:
    tells = Colours(clip)
    crops = [Image.new("RGB", (9, 5), colour) for colour in ("red", "blue")]
    found = tells(crops, "dog")
    encoder = HubEncoder(clip)
    for crop, colour in zip(crops, found, strict=True):
        picture = encoder.images([crop])[0]
        means = {
            name: np.mean([(v := encoder.texts([text])[0]) / np.linalg.norm(v) for text in (
                f"a photo of a {name} dog", f"a photo of a {name}-colored dog", f"a photo of a {name} object")], axis=0)
            for name in detecting.COLOURS
        }  # fmt: skip
        cosines = {name: mean @ picture / np.linalg.norm(mean) for name, mean in means.items()}
        assert colour == max(cosines, key=cosines.get)
    assert tells([], "dog") == []

"""Replies whose steps are judged, in the formats that people have."""

import json

import pytest
from PIL import Image

from modalink.conversation import Medium, Text
from modalink.data.sources.steps import StepsConfig
from modalink.errors import DataError, SampleError

TAG = "\u043a\u0438"
STEPS = ("Two and two make 4.", "So 5.")
TRL = {"prompt": "2 + 2 + 1?", "completions": [*STEPS], "labels": [True, False]}
SHEPHERD = {
    "input": f"2 + 2 + 1? Step 1: {STEPS[0]} {TAG}\nStep 2: {STEPS[1]} {TAG}",
    "label": f"2 + 2 + 1? Step 1: {STEPS[0]} +\nStep 2: {STEPS[1]} -",
    "task": "GSM8K",
}
PRM800K = {
    "question": {"problem": "2 + 2 + 1?"},
    "label": {
        "steps": [
            {"completions": [{"text": "No.", "rating": -1}, {"text": STEPS[0], "rating": 1}], "chosen_completion": 1},
            {
                "completions": [{"text": "x", "rating": -1}],
                "chosen_completion": None,
                "human_completion": {"text": "By hand."},
            },
            {"completions": [{"text": STEPS[1], "rating": -1}, {"text": "y", "rating": 0}], "chosen_completion": None},
            {"completions": [{"text": "never", "rating": 1}], "chosen_completion": 0},
        ]
    },
}
VISUAL = {
    "image": "a.png",
    "question": "<image>\nHow many?",
    "steps_with_score": [
        {"step": STEPS[0], "score": 0.125, "num_mc_correct": 2, "num_mc_total": 16},
        {"step": STEPS[1], "score": 0.0},
    ],
}


def _read(write, record, **settings):
    path = write("steps.jsonl", [{"id": "one", **record}])
    return StepsConfig(path=str(path), **settings).open()[0]


@pytest.mark.parametrize(
    ("record", "steps", "worth"),
    [
        (TRL, [*STEPS], (1.0, 0.0)),
        (SHEPHERD, [f"Step 1: {STEPS[0]}", f"Step 2: {STEPS[1]}"], (1.0, 0.0)),
        (PRM800K, [STEPS[0], "By hand.", STEPS[1]], (1.0, 1.0, 0.0)),
        (VISUAL, [*STEPS], (1.0, 0.0)),
    ],
    ids=["trl", "math_shepherd", "prm800k", "visual_prm"],
)
def test_each_format_is_recognised_and_read_step_by_step(write, tmp_path, record, steps, worth) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    found = _read(write, record, separator="\n")
    question, reply = found.turns
    assert [piece.text for piece in reply.content] == [text for step in steps for text in (step, "\n")]
    assert [piece.loss for piece in reply.content] == [False, True] * len(steps)
    assert found.worth == worth
    pictures = [piece for piece in question.content if isinstance(piece, Medium)]
    assert len(pictures) == (record is VISUAL)
    assert "".join(piece.text for piece in question.content if isinstance(piece, Text)).strip() in (
        "2 + 2 + 1?",
        "How many?",
    )


def test_the_worth_of_a_step_is_cut_at_a_threshold_or_learned_itself(write, tmp_path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert _read(write, VISUAL, threshold=0.2).worth == (0.0, 0.0)
    assert _read(write, VISUAL, threshold=None).worth == (0.125, 0.0)
    neutral = json.loads(json.dumps(PRM800K))
    neutral["label"]["steps"][0]["completions"][1]["rating"] = 0
    assert _read(write, neutral).worth[0] == 1.0 and _read(write, neutral, threshold=0.5).worth[0] == 0.0
    neutral["label"]["steps"][0]["completions"][1]["rating"] = None
    assert _read(write, neutral).worth[0] is None


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({**TRL, "labels": [True]}, "found 2 steps and 1 judgements of them"),
        ({**TRL, "labels": [True, 3]}, "found 3 as the worth of a step, needed a number from 0 to 1"),
        ({**TRL, "completions": ["a", " "]}, "found nothing in step 2 of 2"),
        ({**TRL, "completions": [], "labels": []}, "found no step"),
        ({**SHEPHERD, "label": SHEPHERD["label"].replace("-", "?")}, "in its label behind step 2, needed"),
        ({**VISUAL, "image": None, "steps_with_score": ["a"]}, "needed a list of mappings"),
    ],
)
def test_a_record_of_another_form_is_refused_with_its_name(write, record, words) -> None:
    with pytest.raises(SampleError, match=words) as refused:
        _read(write, record)
    assert "one" in str(refused.value)


def test_a_file_without_steps_is_refused(write) -> None:
    with pytest.raises(DataError, match="completions and labels"):
        _read(write, {"a": 1})
    with pytest.raises(ValueError, match="did you mean 'prm800k'"):
        StepsConfig(path="x.jsonl", format="prm80k")

"""GQA: submissions, consistency, validity and plausibility."""

from typing import Any

import pytest

from modalink.errors import DataError
from modalink.scoring.score import score
from tests.conftest import Write


def gqa(answer: str, **more: Any) -> dict[str, Any]:
    return {
        "question": "What color?",
        "answer": answer,
        "isBalanced": True,
        "types": {"structural": "query", "semantic": "attr", "detailed": "color"},
        "groups": {"global": "color"},
        "entailed": [],
        "semantic": [{"operation": "query", "argument": "color"}],
        **more,
    }


GQA = {
    "1": gqa("red", entailed=["1", "2", "3"]),
    "2": gqa("yes", types={"structural": "verify", "semantic": "rel", "detailed": "x"}, groups={"global": None}),
    "3": gqa("red", isBalanced=False),
    "4": gqa("blue"),
}


def test_gqa_submissions_are_final_and_replies_are_not(write: Write) -> None:
    gold = write("testdev_balanced_questions.json", GQA)
    submission = [{"questionId": key, "prediction": text} for key, text in (("1", "red"), ("2", "Yes."), ("4", "red"))]
    report = score("gqa", write("p.json", submission), gold)
    assert report.score == pytest.approx(100 / 3) and report.count == 3
    assert (report.metrics["open"], report.metrics["binary"]) == (50, 0)
    # Of the colour group one red and one blue were right, and two red were said: ((2-1)^2 + (0-1)^2) / 100.
    assert report.metrics["distribution"] == pytest.approx(0.02)
    replies = [{"question_id": row["questionId"], "text": row["prediction"]} for row in submission]
    assert score("gqa", write("r.jsonl", replies), gold).score == pytest.approx(200 / 3)
    assert score("gqa", write("r.jsonl", replies), gold, {"postprocess": "none"}).score == pytest.approx(100 / 3)


def test_gqa_consistency_needs_the_unbalanced_questions(write: Write) -> None:
    gold = write("val_all_questions.json", GQA)
    rows = [{"questionId": key, "prediction": text} for key, text in (("1", "red"), ("2", "no"), ("4", "blue"))]
    with pytest.raises(DataError, match="1 of 4 questions"):
        score("gqa", write("p.json", rows), gold, {"consistency": "true"})
    report = score(
        "gqa", write("p.json", [*rows, {"questionId": "3", "prediction": "red"}]), gold, {"consistency": "true"}
    )
    assert report.metrics["consistency"] == 50 and report.count == 3


def test_gqa_validity_and_plausibility(write: Write) -> None:
    choices = {key: {"valid": ["red", "blue"], "plausible": ["red"]} for key in GQA}
    rows = [{"questionId": key, "prediction": text} for key, text in (("1", "red"), ("2", "maybe"), ("4", "blue"))]
    options = {"choices": str(write("choices.json", choices))}
    report = score("gqa", write("p.json", rows), write("q.json", GQA), options)
    assert report.metrics["validity"] == pytest.approx(200 / 3) and report.metrics["plausibility"] == pytest.approx(
        100 / 3
    )

"""Questions without an id are called by their rows' numbers, and whoever reads the score is told so once."""

import json
from pathlib import Path
from typing import Any

import pytest

from modalink.errors import DataError
from modalink.scoring.score import ScoreReport, score
from tests.scoring.small_files import FAST

CASES: dict[str, tuple[list[dict[str, Any]], list[str], dict[str, Any]]] = {
    "chartqa": ([{"query": f"What {n}?", "label": str(n)} for n in range(3)], ["0", "1", "2"], {}),
    "vsr": ([{"caption": f"a {n}", "label": n % 2, "relation": "on"} for n in range(3)], ["0", "1", "0"], {}),
    "coco_captions": (
        [{"references": [f"a red cat {n}"]} for n in range(3)],
        [f"a red cat {n}" for n in range(3)],
        FAST,
    ),
    "refcoco": (
        [{"bbox": [0, 0, 9, 9 - n], "width": 10, "height": 10, "expression": f"it {n}"} for n in range(3)],
        [f"[0, 0, 0.9, {0.9 - n / 10}]" for n in range(3)],
        {},
    ),
}


def report(tmp_path: Path, name: str, gold: Any, replies: Any, options: dict[str, Any]) -> ScoreReport:
    for file, rows in (("gold.json", gold), ("replies.json", replies)):
        (tmp_path / file).write_text(json.dumps(rows))
    return score(name, tmp_path / "replies.json", tmp_path / "gold.json", {"replicates": 20, **options})


def numbered(found: ScoreReport) -> list[str]:
    return [note for note in found.notes if note.startswith("numbered by row")]


@pytest.mark.parametrize("name", CASES)
def test_who_is_called_by_a_number_is_told_once(tmp_path: Path, name: str) -> None:
    gold, replies, options = CASES[name]
    rows = [{"question_id": n, "text": text} for n, text in enumerate(replies)]
    (note,) = numbered(report(tmp_path, name, gold, rows, options))
    assert "the 3 questions of" in note and "gold.json have no id" in note and "from 0" in note
    one_has = [{**gold[0], "question_id": "first"}, *gold[1:]]
    rows[0]["question_id"] = "first"
    (note,) = numbered(report(tmp_path, name, one_has, rows, options))
    assert "2 of 3 questions of" in note


@pytest.mark.parametrize("name", CASES)
def test_who_has_an_id_is_not(tmp_path: Path, name: str) -> None:
    gold, replies, options = CASES[name]
    gold = [{"question_id": f"q{n}", **row} for n, row in enumerate(gold)]
    rows = [{"question_id": f"q{n}", "text": text} for n, text in enumerate(replies)]
    assert not numbered(report(tmp_path, name, gold, rows, options))


def test_a_number_that_is_also_an_id_is_refused(tmp_path: Path) -> None:
    gold, replies, options = CASES["chartqa"]
    gold = [*gold[:2], {**gold[2], "question_id": 1}]
    rows = [{"question_id": n, "text": text} for n, text in enumerate(replies)]
    with pytest.raises(DataError, match="found question '1' twice"):
        report(tmp_path, "chartqa", gold, rows, options)

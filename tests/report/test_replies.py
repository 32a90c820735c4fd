"""The report shows some of the replies that a stage has drawn, and what they were worth."""

import json
from pathlib import Path

import pytest
import yaml

from modalink.errors import CheckpointError
from modalink.report import view, write_report
from modalink.runs.facts import read_run


def _line(step: int, *rewards: float | None) -> dict:
    replies = [{"text": f"reply {step}.{n}", "reward": reward, "parts": {}} for n, reward in enumerate(rewards)]
    return {"step": step, "prompt": "p", "question": f"what of {step} < 99?", "facts": {}, "replies": replies}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    stage = tmp_path / "draw"
    stage.mkdir()
    recipe = {"name": "little", "stages": [{"name": "draw", "objectives": [{"kind": "policy"}], "train": {}}]}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    records = [{"step": n, "losses": {"policy": 0.1}, "reward": n / 30, "samples": 2} for n in range(1, 31)]
    (stage / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    lines = [line for n in range(1, 31) for line in (_line(n, 0.25, None, -1.0, 0.75), _line(n, 0.5))]
    (stage / "replies.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 31, "repl')
    return tmp_path


def test_of_some_steps_the_best_and_the_worst_reply_are_shown(run: Path) -> None:
    rows = view.stage_view(read_run(run).stages[0]).replies
    assert [row.step for row in rows] == [1, 5, 9, 13, 18, 22, 26, 30]
    assert rows[0].question == "what of 1 < 99?"
    assert rows[0].replies == [("reply 1.3", "0.75"), ("reply 1.1", "not judged")]
    page = write_report(run)
    text = page.html.read_text()
    assert "reply 30.3" in text and "what of 30 &lt; 99?" in text and "Replies that it drew" in text
    assert json.loads(page.json.read_text())["stages"][0]["rewards"][-1] == [30.0, 1.0]


def test_a_stage_that_draws_nothing_shows_none_and_a_damaged_line_is_told(run: Path) -> None:
    path = run / "draw" / "replies.jsonl"
    path.write_text('{"step": 1}\n')
    with pytest.raises(CheckpointError, match=r"replies\.jsonl, line 1: .*delete that line"):
        read_run(run)
    path.unlink()
    assert view.stage_view(read_run(run).stages[0]).replies == []
    assert "Replies that it drew" not in write_report(run).html.read_text()

"""ChartQA: numbers within five percent."""

from modalink.scoring.score import score
from tests.conftest import Write


def test_chartqa(write: Write) -> None:
    gold = write(
        "a.json",
        [{"imgname": "1.png", "query": "?", "label": "100"}, {"imgname": "1.png", "query": "!", "label": "Red"}],
    )
    assert score("chartqa", write("p.json", [{"answer": "104.9"}, {"answer": "red"}]), gold).score == 100

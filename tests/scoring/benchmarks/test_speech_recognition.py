"""Word error rate of transcripts."""

from modalink.scoring.score import score
from tests.conftest import Write


def test_speech_recognition(write: Write) -> None:
    gold = write("a.jsonl", [{"id": 1, "transcript": "The cat sat."}, {"id": 2, "transcript": "it's"}])
    replies = write("p.jsonl", [{"id": 1, "text": "the bat sat down"}, {"id": 2, "text": "IT'S"}])
    report = score("speech_recognition", replies, gold)
    assert report.score == 50 and report.metrics["words"] == 4
    assert score("speech_recognition", replies, gold, {"caseless": "false"}).score == 125

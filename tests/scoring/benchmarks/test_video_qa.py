"""Questions about videos, scored by equality."""

from modalink.scoring.score import score
from tests.conftest import Write


def test_activitynet_free_questions_rightly_and_as_printed(write: Write) -> None:
    kinds = [3, 4, 3, 0, 5, 1, 2, 5]  # seen first: yes/no, color, motion
    gold = [{"question_id": f"v_{n}", "answer": "yes", "type": kind} for n, kind in enumerate(kinds)]
    write("test_q.json", [{"question_id": f"v_{n}", "question": "what is it"} for n in range(8)])
    replies = [{"question_id": f"v_{n}", "answer": "yes" if n < 4 else "no"} for n in range(8)]
    report = score("activitynet_qa", write("p.json", replies), write("test_a.json", gold))
    assert report.score == 50 and report.metrics["type/yes/no"] == 100 and report.metrics["type/motion"] == 100
    assert report.metrics["free"] == 100 * 3 / 5
    assert report.metrics["free_as_printed"] == 100 * 3 / 4  # object 2, spatial 1, temporal 1


def test_video_answers_are_words_as_they_are(write: Write) -> None:
    gold = write("a.json", [{"id": 1, "question": "who is it", "answer": "man", "video_id": 3}])
    replies = write("p.json", [{"id": 1, "answer": "Man"}])
    assert score("msrvtt_qa", replies, gold).score == 0
    assert score("msrvtt_qa", replies, gold, {"match": "caseless"}).score == 100

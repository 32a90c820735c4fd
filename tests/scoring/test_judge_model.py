"""Judges behind an address and on record."""

import json
from pathlib import Path

import pytest

from modalink.errors import DataError, OptionError
from modalink.scoring import judge_model as judges
from modalink.scoring.judge_model import Endpoint, JudgeModel, Request, Verdict, read_verdicts
from modalink.scoring.score import score
from tests.conftest import Write
from tests.scoring.small_files import small_case
from tests.support.chat_server import ChatServer


def test_a_request_goes_as_a_chat_completion(chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    chat_server.answers = ["8 9"]
    request = Request("1", "Rate.", "You are fair.", temperature=0.2, max_tokens=5)
    assert Endpoint(f"{chat_server.url}/", "gpt").ask(request) == Verdict("1", "8 9", model="judge-0613")
    assert chat_server.headers[0]["path"] == "/v1/chat/completions"
    assert chat_server.headers[0]["Authorization"] == "Bearer secret"
    assert chat_server.asked[0] == {
        "model": "gpt",
        "messages": [{"role": "system", "content": "You are fair."}, {"role": "user", "content": "Rate."}],
        "temperature": 0.2,
        "max_tokens": 5,
    }


def test_busy_servers_are_asked_again_and_refusals_told(chat_server: ChatServer) -> None:
    chat_server.answers = [429, 503, "yes"]
    assert Endpoint(chat_server.url, "gpt").ask(Request("1", "?")).text == "yes"
    chat_server.answers = [401]
    with pytest.raises(DataError, match="item 7: HTTP 401 broken"):
        Endpoint(chat_server.url, "gpt").ask(Request("7", "?"))
    chat_server.answers = [500] * 5
    with pytest.raises(DataError, match="HTTP 500"):
        Endpoint(chat_server.url, "gpt").ask(Request("7", "?"))


def test_nobody_at_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges.time, "sleep", lambda seconds: None)
    with pytest.raises(DataError, match="no answer in 5 tries"):
        Endpoint("http://127.0.0.1:9", "gpt").ask(Request("1", "?"))


def test_replies_are_recorded_and_not_asked_for_again(chat_server: ChatServer, tmp_path: Path) -> None:
    record = tmp_path / "replies.jsonl"
    chat_server.answers = ["one", "two"]
    requests = [Request("a", "?"), Request("b", "?", run=1)]
    judge = JudgeModel(Endpoint(chat_server.url, "gpt"), record)
    assert judge.ask(requests, workers=1) == ["one", "two"]
    again = JudgeModel(None, record)
    again.add(read_verdicts(record))
    assert again.ask([*requests, Request("c", "?")]) == ["one", "two", None]
    assert again.name == "judge-0613"
    assert len(chat_server.asked) == 2


def test_records_of_other_forms(write: Write) -> None:
    path = write("reviews.jsonl", [{"id": 5, "question_id": 0, "content": "8 9", "category": "conv"}])
    assert list(read_verdicts(path)) == [Verdict("0", "8 9")]
    assert list(read_verdicts(write("map.json", {"x": "8 9"}))) == [Verdict("x", "8 9")]
    with pytest.raises(DataError, match="needed an id and the judge's reply"):
        list(read_verdicts(write("bad.jsonl", [{"id": 5, "score": 3}])))


QUESTIONS = [
    {"question_id": 0, "image": "1.jpg", "text": "What?", "category": "conv"},
    {"question_id": 1, "image": "1.jpg", "text": "Why?", "category": "complex"},
]


def test_llava_bench_by_a_judge_then_from_its_record(chat_server: ChatServer, write: Write, tmp_path: Path) -> None:
    questions = write("bench/questions.jsonl", QUESTIONS)
    write("bench/context.jsonl", [{"image": "1.jpg", "caption": ["A dog.", "It runs."]}])
    write("bench/answers_gpt4.jsonl", [{"question_id": n, "text": f"reference {n}"} for n in (0, 1)])
    answers = write("answers.jsonl", [{"question_id": n, "text": f"answer {n}"} for n in (0, 1)])
    chat_server.answers = ["8 6\nbecause", "8, 9"]
    record = str(tmp_path / "reviews.jsonl")
    options = {"judge": chat_server.url, "judge_model": "gpt", "replies": record}
    report = score("llava_bench", answers, questions.parent, options)
    # The second review has three parts on its first line: -1 and -1 go into the means, 5 / 7 each over two.
    pairs = sorted(json.loads(line)["reply"] for line in Path(record).read_text().splitlines())
    assert pairs == ["8 6\nbecause", "8, 9"]
    assert report.score == round(100 * 2.5 / 3.5, 1) and report.parse_failures == 1
    assert "judge: judge-0613, 1 run" in report.notes[0]
    prompts = {asked["messages"][1]["content"] for asked in chat_server.asked}
    assert any(
        text.startswith("[Context]\nA dog.\nIt runs.\n\n[Question]\nWhat?\n\n[Assistant 1]\nreference 0\n\n")
        for text in prompts
    )
    assert any("[Assistant 2]\nanswer 1\n\n[End of Assistant 2]\n\n[System]\nWe would like" in text for text in prompts)
    again = score("llava_bench", answers, questions, {"replies": record})
    assert again.metrics == report.metrics and len(chat_server.asked) == 2


def test_llava_bench_rounds_means_then_ratio_and_averages_runs(write: Write) -> None:
    questions, answers = write("q.jsonl", QUESTIONS), write("a.jsonl", [{"question_id": n, "text": ""} for n in (0, 1)])
    first = write("r1.jsonl", [{"question_id": 0, "content": "9 7.5"}, {"question_id": 1, "content": "8,5\n"}])
    second = write("r2.jsonl", [{"question_id": 0, "content": "9 6"}, {"question_id": 1, "content": "8 4"}])
    report = score("llava_bench", answers, questions, {"replies": f"{first},{second}"})
    assert report.metrics["run/1"] == round(100 * 6.25 / 8.5, 1) and report.metrics["run/2"] == round(100 * 5 / 8.5, 1)
    assert report.score == round((73.5 + 58.8) / 2, 1)
    assert report.metrics["conv"] == round((83.3 + 66.7) / 2, 1)


def test_reviews_without_any_score_for_gpt4_are_refused(write: Write) -> None:
    questions, answers = write("q.jsonl", QUESTIONS), write("a.jsonl", [{"question_id": n, "text": ""} for n in (0, 1)])
    record = str(write("r.jsonl", [{"question_id": 0, "content": "0 4"}, {"question_id": 1, "content": "0 5"}]))
    with pytest.raises(DataError, match="average 0"):
        score("llava_bench", answers, questions, {"replies": record})


def test_missing_replies_are_an_error_unless_partial(write: Write) -> None:
    questions, answers = write("q.jsonl", QUESTIONS), write("a.jsonl", [{"question_id": n, "text": ""} for n in (0, 1)])
    record = str(write("r.jsonl", [{"question_id": 1, "content": "8 4"}]))
    with pytest.raises(DataError, match=r"no judge's reply for 1 of 2 items \(0"):
        score("llava_bench", answers, questions, {"replies": record})
    report = score("llava_bench", answers, questions, {"replies": record, "missing": "skip"})
    assert report.score == 50 and report.count == 1
    with pytest.raises(DataError, match="scored by a judge, and none was given"):
        score("llava_bench", answers, questions)


MMVET = {
    "v1_0": {"imagename": "a.jpg", "question": "x?", "answer": "1<AND>2", "capability": ["ocr", "math"]},
    "v1_1": {"imagename": "b.jpg", "question": "y?", "answer": "z", "capability": ["rec"]},
}


def test_mmvet_asks_again_in_other_words_and_warmer(chat_server: ChatServer, write: Write, tmp_path: Path) -> None:
    annotations, answers = write("mm-vet.json", {"v1_0": MMVET["v1_0"]}), write("p.json", {"v1_0": "one | two"})
    chat_server.answers = ["The", "grade", "1.5", "0.7 well"]
    record = str(tmp_path / "grades.jsonl")
    report = score("mmvet", answers, annotations, {"judge": chat_server.url, "judge_model": "gpt", "replies": record})
    assert report.score == 70.0 and report.parse_failures == 0
    texts = [asked["messages"][0]["content"] for asked in chat_server.asked]
    assert texts[0].endswith("\n\nx? | 1 <AND> 2 | one | two | ")
    assert texts[1:] == [f"{texts[0]}\nPredict the correctness of the answer (digit): "] * 3
    assert [asked["temperature"] for asked in chat_server.asked] == [0, 0, 0.5, 1.0]
    assert {asked["max_tokens"] for asked in chat_server.asked} == {3}
    assert score("mmvet", answers, annotations, {"replies": record}).score == 70.0


def test_mmvet_gives_up_after_five_attempts(chat_server: ChatServer, write: Write) -> None:
    annotations, answers = write("mm-vet.json", {"v1_0": MMVET["v1_0"]}), write("p.json", {"v1_0": "x"})
    chat_server.answers = ["no"] * 5
    report = score("mmvet", answers, annotations, {"judge": chat_server.url, "judge_model": "gpt"})
    assert report.score == 0 and report.parse_failures == 1 and chat_server.answers == []


def test_mmvet_from_the_official_grade_file(write: Write) -> None:
    grades = {
        "v1_0": {"model": ["gpt-4"] * 2, "content": ["0.5", "1.0"], "score": [0.5, 1.0]},
        "v1_1": {"model": ["gpt-4"] * 2, "content": ["0.0", "0.1"], "score": [0.0, 0.1]},
    }
    record = write("grades.json", grades)
    report = score("mmvet", write("p.json", dict.fromkeys(MMVET, "")), write("a.json", MMVET), {"replies": str(record)})
    # Runs of 25 and 55: their mean, and their standard deviation as of a whole population.
    assert (report.score, report.metrics["std"]) == (40.0, 15.0)
    assert report.metrics["capability/ocr"] == report.metrics["integration/math_ocr"] == 75.0
    assert report.metrics["capability/rec"] == 5.0


def test_video_judge_cuts_fractions_and_counts_unreadable_verdicts_as_no(write: Write) -> None:
    gold = [{"question_id": n, "question": "who?", "answer": "man"} for n in range(4)]
    answers = write("p.jsonl", [{"question_id": n, "text": "a man"} for n in range(4)])
    verdicts = [
        "{'pred': 'yes', 'score': 4.8}",
        "{'pred': 'unknown', 'score': 2}",
        "I would say yes",
        "{'pred': 'maybe', 'score': 3}",
    ]
    record = write("r.jsonl", [{"id": n, "reply": text} for n, text in enumerate(verdicts)])
    report = score("msvd_qa_judge", answers, write("a.json", gold), {"replies": str(record)})
    # yes, no (unknown has a no in it), no, and neither: one of three; scores 4, 2, 0, 3.
    assert report.score == pytest.approx(100 / 3) and report.metrics["score"] == 9 / 4 and report.parse_failures == 1


def test_video_judge_from_the_combined_file(write: Write) -> None:
    gold = [{"question_id": "v_1", "question": "who?", "answer": "man", "type": 5}]
    record = write("r.json", {"v_1": [{"pred": "Yes", "score": 5}, {"q": "who?", "a": "man", "pred": "a man"}]})
    answers = write("p.jsonl", [{"question_id": "v_1", "text": "a man"}])
    report = score("activitynet_qa_judge", answers, write("a.json", gold), {"replies": str(record)})
    assert report.score == 100 and report.metrics["type/object"] == 100 and report.metrics["score"] == 5


def test_an_address_needs_a_model_and_a_record_to_write(write: Write) -> None:
    answers, gold = write("p.json", {"v1_0": "x"}), write("a.json", MMVET)
    with pytest.raises(DataError, match="needed the name of its model"):
        score("mmvet", answers, gold, {"judge": "http://x/v1", "missing": "skip"})
    with pytest.raises(DataError, match=r"needed to be a \.jsonl file"):
        score(
            "mmvet",
            answers,
            gold,
            {"judge": "http://x/v1", "judge_model": "g", "replies": "grades.json", "missing": "skip"},
        )
    with pytest.raises(DataError, match="no such file"):
        score("mmvet", answers, gold, {"replies": "nowhere.jsonl", "missing": "skip"})


def _llava(write: Write, **more: str) -> tuple[Path, Path]:
    rows = [{"question_id": n, "text": "x", **{key: f"{value}{n}" for key, value in more.items()}} for n in (0, 1)]
    return write("q.jsonl", QUESTIONS), write("a.jsonl", rows)


def test_replies_about_another_answer_are_refused(chat_server: ChatServer, write: Write, tmp_path: Path) -> None:
    questions, answers = _llava(write, answer_id="mine")
    reviews = [{"question_id": n, "content": "8 6", "answer2_id": f"theirs{n}"} for n in (0, 1)]
    with pytest.raises(DataError, match=r"reviews\.jsonl: the judge's reply for 0 is about another answer \(theirs0\)"):
        score("llava_bench", answers, questions, {"replies": str(write("reviews.jsonl", reviews))})
    mine = write("mine.jsonl", [{**row, "answer2_id": f"mine{row['question_id']}"} for row in reviews])
    assert not any(
        "whose answers" in note for note in score("llava_bench", answers, questions, {"replies": str(mine)}).notes
    )
    annotations, record = write("mm-vet.json", {"v1_0": MMVET["v1_0"]}), str(tmp_path / "grades.jsonl")
    chat_server.answers = ["0.7"]
    options = {"judge": chat_server.url, "judge_model": "gpt", "replies": record}
    assert score("mmvet", write("p.json", {"v1_0": "one"}), annotations, options).score == 70
    with pytest.raises(DataError, match="about another answer"):
        score("mmvet", write("other.json", {"v1_0": "two"}), annotations, {"replies": record})


def test_one_file_of_replies_is_one_run(write: Write) -> None:
    questions, answers = _llava(write)
    first, copy = (
        write(name, [{"question_id": n, "content": "8 6"} for n in (0, 1)]) for name in ("r.jsonl", "c.jsonl")
    )
    for replies in (f"{first},{first}", f"{first},{copy}"):
        with pytest.raises(OptionError, match="hold the same replies"):
            score("llava_bench", answers, questions, {"replies": replies})
    with pytest.raises(OptionError, match="one model's answers"):
        score("llava_bench", answers, questions, {"replies": str(first)}, answers)
    twice = write("t.jsonl", [{"question_id": 0, "content": text} for text in ("8 6", "8 7")])
    with pytest.raises(DataError, match="two replies for 0 in run 0"):
        score("llava_bench", answers, questions, {"replies": str(twice)})


@pytest.mark.parametrize("name", ["llava_bench", "mmvet", "msvd_qa_judge", "mmbench"])
def test_replies_of_which_none_can_be_read_are_refused(write: Write, tmp_path: Path, name: str) -> None:
    case = small_case(name, write, tmp_path)
    if name == "mmbench":
        case.predictions = write("p.jsonl", [{**row, "text": "perhaps"} for row in case.rows])
    record = write("r.jsonl", [{"id": key, "reply": "no verdict here"} for key in ("11", "12", "13", "14")])
    with pytest.raises(DataError, match=r"r\.jsonl: could read none of \d+ judge's replies"):
        score(name, case.predictions, case.annotations, {"replies": str(record)})


def test_mean_of_runs_is_given_unrounded(write: Write) -> None:
    questions, answers = _llava(write)
    first = write("r1.jsonl", [{"question_id": 0, "content": "9 7.5"}, {"question_id": 1, "content": "8 5"}])
    second = write("r2.jsonl", [{"question_id": 0, "content": "9 6"}, {"question_id": 1, "content": "8 4"}])
    metrics = score("llava_bench", answers, questions, {"replies": f"{first},{second}"}).metrics
    assert metrics["mean_of_runs"] == pytest.approx((73.5 + 58.8) / 2)
    assert metrics["all_unrounded"] == pytest.approx(50 * (6.25 + 5) / 8.5)


def test_kinds_of_video_questions_are_scored_as_all_are(write: Write) -> None:
    gold = [{"question_id": n, "question": "who?", "answer": "man", "type": 3} for n in range(3)]
    answers = write("p.jsonl", [{"question_id": n, "text": "a man"} for n in range(3)])
    verdicts = ["{'pred': 'yes', 'score': 4}", "{'pred': 'no', 'score': 0}", "{'pred': 'maybe', 'score': 3}"]
    record = write("r.jsonl", [{"id": n, "reply": text} for n, text in enumerate(verdicts)])
    report = score("activitynet_qa_judge", answers, write("a.json", gold), {"replies": str(record)})
    assert report.score == report.metrics["type/yes/no"] == 50

"""Answers on the disk: what is kept when the writer is stopped, and what is refused."""

import json

import pytest

from modalink.errors import DataError
from modalink.evaluation.answer_file import AnswerFile

ABOUT = {"weights": "1", "questions": "2"}


def test_answers_are_read_back(tmp_path):
    with AnswerFile(tmp_path / "new", ABOUT) as answers:
        answers.add([("1", "a cat"), ("2", "zwei\n„Hunde“")])
        answers.add([("3", "")])
    lines = [json.loads(line) for line in answers.path.read_text("utf-8").splitlines()]
    assert lines == [
        {"question_id": "1", "answer": "a cat"},
        {"question_id": "2", "answer": "zwei\n„Hunde“"},
        {"question_id": "3", "answer": ""},
    ]
    with AnswerFile(tmp_path / "new", ABOUT) as again:
        assert again.ids == {"1", "2", "3"}


@pytest.mark.parametrize("kept", range(0, 36, 5))
def test_a_torn_line_is_dropped_wherever_it_was_cut(tmp_path, kept):
    with AnswerFile(tmp_path, ABOUT) as answers:
        answers.add([("1", "one"), ("2", "two")])
    whole = answers.path.read_bytes()
    first = whole.index(b"\n") + 1
    answers.path.write_bytes(whole[: first + kept])
    with AnswerFile(tmp_path, ABOUT) as answers:
        assert answers.ids == {"1"}
        answers.add([("2", "two")])
    assert answers.path.read_bytes() == whole


def test_answers_of_something_else_are_refused(tmp_path):
    with AnswerFile(tmp_path, ABOUT) as answers:
        answers.add([("1", "one")])
    with (
        pytest.raises(DataError, match=r"(?s)something else:.*weights: then '1', now '3'.*--out another folder"),
        AnswerFile(tmp_path, {**ABOUT, "weights": "3"}),
    ):
        pass
    (tmp_path / "about.json").unlink()
    with pytest.raises(DataError, match=r"without about.json"), AnswerFile(tmp_path, ABOUT):
        pass


@pytest.mark.parametrize("line", ['{"question_id": "1"}', "[]", "no JSON", '{"answer": "x"}'])
def test_a_whole_line_that_is_no_answer_is_named(tmp_path, line):
    with AnswerFile(tmp_path, ABOUT) as answers:
        answers.add([("1", "one")])
    answers.path.write_text(answers.path.read_text() + line + "\n")
    with pytest.raises(DataError, match=r"line 2: found .*delete the line"), AnswerFile(tmp_path, ABOUT):
        pass


def test_one_writes_at_a_time(tmp_path):
    with (
        AnswerFile(tmp_path, ABOUT),
        pytest.raises(DataError, match="another process is writing"),
        AnswerFile(tmp_path, ABOUT),
    ):
        pass

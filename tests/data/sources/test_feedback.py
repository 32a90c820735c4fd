"""Dialogues with feedback in words."""

from pathlib import Path
from typing import Any

import pytest

from modalink import kinds
from modalink.conversation import Medium, Text
from modalink.errors import DataError, SampleError
from modalink.model import IGNORED

RECORD = {
    "image_id": "000000151112.jpg",
    "caption": "a bus",
    "interaction": [
        {
            "user": "What is it?",
            "model": "A car.",
            "rating": "1",
            "critique_NLF": "Wrong.",
            "refinement_NLF": "Look again.",
        },
        {"user": "Look again, please.", "model": "A bus.", "rating": 4, "critique": "Right."},
        {"user": "Which colour?", "model": "Red."},
    ],
}


@pytest.fixture
def opened(write):
    def make(*records: Any, **settings: Any):
        path = str(write("nlf.jsonl", [*records]))
        return kinds.parse(
            "modalink.data.sources", {"source": "feedback", "path": path, **settings}, key="source"
        ).open()

    return make


def test_answers_are_learned_under_what_was_said_of_them(opened, tmp_path: Path) -> None:
    first, answer, second, better, third, last = opened(RECORD, media="train2017", condition="<{rating}: {critique}>")[
        0
    ].turns
    assert first.content == (Medium("image", "train2017/000000151112.jpg"), Text("\nWhat is it?<1: Wrong.>"))
    assert (answer.text, second.text, better.text) == ("A car.", "Look again, please.<4: Right.>", "A bus.")
    assert third.text == "Which colour?" and last.text == "Red."
    assert all(turn.loss for turn in (answer, better, last))


def test_the_last_answer_alone_may_be_learned_and_refinement_stands_for_a_question(opened) -> None:
    rounds = [RECORD["interaction"][0], {**RECORD["interaction"][1], "user": ""}]
    turns = opened({"interaction": rounds}, learned="last", condition=None)[0].turns
    assert [(turn.text, turn.loss) for turn in turns] == [
        ("What is it?", True),
        ("A car.", False),
        ("Look again.", True),
        ("A bus.", True),
    ]


def test_only_answers_carry_labels(opened, make_reader, tmp_path: Path) -> None:
    system = make_reader(tmp_path)
    record = {"interaction": RECORD["interaction"][:2]}
    sample = system.processor.prepare(opened(record)[0])
    labelled = [token for token, label in zip(sample.input_ids, sample.labels, strict=True) if label != IGNORED]
    said = system.processor.tokenizer.decode(labelled)
    assert "A car." in said and "A bus." in said and "Wrong" not in said and "again" not in said
    assert "rating 1 of 4. Wrong." in system.processor.tokenizer.decode(sample.input_ids)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"interaction": []}, "found the interaction"),
        ({"interaction": [{"user": "a"}]}, "round 0: found nothing under 'model', needed text"),
        ({"interaction": [{"user": 3, "model": "b"}]}, "round 0: found 3 under 'user', needed text"),
        ({"interaction": [{"user": "a", "model": "b"}], "image_id": 7}, "the record: found 7 under 'image_id'"),
    ],
)
def test_bad_records_are_told(opened, record: dict[str, Any], message: str) -> None:
    with pytest.raises(SampleError, match=message):
        opened(RECORD, record)[1]


def test_other_files_and_unknown_fields_are_told(opened) -> None:
    with pytest.raises(DataError, match="needed the columns 'interaction' of 'user' and 'model'"):
        opened({"messages": []})
    with pytest.raises(ValueError, match=r"found \{score\} in"):
        opened(RECORD, condition="{score}")

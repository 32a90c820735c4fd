"""VQAv2, OK-VQA, VizWiz and TextVQA on small official files."""

from typing import Any

import pytest

from modalink.errors import DataError
from modalink.scoring.score import score
from tests.conftest import Write


def answers(**counts: int) -> list[dict[str, Any]]:
    words = [word for word, count in counts.items() for _ in range(count)]
    return [{"answer": word, "answer_confidence": "yes", "answer_id": n} for n, word in enumerate(words, 1)]


VQA = {
    "info": {"year": 2017},
    "annotations": [
        {"question_id": 1, "answer_type": "other", "question_type": "what", "answers": answers(cat=7, dog=3)},
        {"question_id": 2, "answer_type": "yes/no", "question_type": "is", "answers": answers(yes=10)},
        {"question_id": 3, "answer_type": "number", "question_type": "how many", "answers": answers(two=1, three=9)},
    ],
}
REPLIES = [
    {"question_id": 1, "answer": "The dog."},
    {"question_id": 2, "answer": "Yes"},
    {"question_id": 3, "answer": "2"},
]


def test_vqav2_by_variant(write: Write) -> None:
    gold, replies = write("v2_annotations.json", VQA), write("results.json", REPLIES)
    official = score("vqav2", replies, gold)
    # 0.9 for three of ten; 0 since all ten wrote "yes"; 0.3 for one of ten.
    assert official.score == 40.0 and official.metrics["accuracy"] == pytest.approx(40)
    assert official.metrics["answer_type/other"] == 90.0 and official.metrics["question_type/how many"] == 30.0
    assert official.rule == "VQA soft score, official normalisation"
    assert score("vqav2", replies, gold, {"variant": "m4c"}).score == pytest.approx(100 * 2.2 / 3)
    assert score("vqav2", replies, gold, {"variant": "vizwiz"}).score == round(100 * 1.9 / 3, 2)


def test_official_percentages_have_two_decimals(write: Write) -> None:
    rows = [{"question_id": n, "answers": answers(cat=10)} for n in range(3)]
    replies = [{"question_id": n, "answer": "cat" if n else "dog"} for n in range(3)]
    report = score("vqav2", write("p.json", replies), write("a.json", {"annotations": rows}))
    assert report.score == 66.67 and report.metrics["accuracy"] == pytest.approx(200 / 3)


def test_okvqa_states_which_answers_it_compares(write: Write) -> None:
    entries = [{"answer": "surf", "raw_answer": "surfing"}] * 6 + [{"answer": "swim", "raw_answer": "swimming"}] * 4
    gold = write("a.json", {"annotations": [{"question_id": 1, "answers": entries}]})
    replies = write("p.json", [{"question_id": 1, "answer": "surfing"}])
    assert score("okvqa", replies, gold).score == 0
    report = score("okvqa", replies, gold, {"answer_field": "raw_answer"})
    assert report.score == 100 and "raw_answer" in report.rule


def test_vizwiz_leaves_answers_raw_and_knows_questions_by_image(write: Write) -> None:
    gold = [
        {
            "image": "a.jpg",
            "question": "?",
            "answer_type": "unanswerable",
            "answers": answers(unanswerable=8, Unanswerable=2),
        },
        {"image": "b.jpg", "question": "?", "answer_type": "other", "answers": answers(Coke=10)},
    ]
    replies = [{"image": "a.jpg", "answer": "Unanswerable."}, {"image": "b.jpg", "answer": "Coke"}]
    report = score("vizwiz", write("p.json", replies), write("val.json", gold))
    assert report.score == 50 and report.metrics["answer_type/unanswerable"] == 100


def test_vizwiz_answerability(write: Write) -> None:
    gold = [{"image": f"{n}.jpg", "answerable": n % 2} for n in range(4)]
    replies = [{"image": f"{n}.jpg", "answerable": value} for n, value in enumerate([0.1, 0.2, 0.6, 0.9])]
    report = score("vizwiz_answerability", write("p.json", replies), write("val.json", gold))
    # Unanswerable are 0 and 2, whose complements 0.9 and 0.4 rank first and third: (1 + 2/3) / 2.
    assert report.score == 83.33
    # Above 0.5 are 0.9 and 0.8: precision and recall one half.
    assert report.metrics["f1"] == 50.0
    with pytest.raises(DataError, match="needed a finite number"):
        score("vizwiz_answerability", write("n.json", [{"image": "0.jpg", "answerable": "yes"}]), write("v.json", gold))


def test_textvqa_in_both_forms_of_predictions(write: Write) -> None:
    data = [
        {"question_id": 10, "image_id": "abc", "question": "What brand is it?", "answers": ["Dakota"] * 10},
        {"question_id": 11, "image_id": "abc", "question": "What year?", "answers": ["1999"] * 5 + ["'99"] * 5},
    ]
    gold = write("TextVQA_0.5.1_val.json", {"dataset_type": "val", "data": data})
    plain = [{"question_id": 10, "answer": "dakota,"}, {"question_id": 11, "answer": "2000"}]
    assert score("textvqa", write("p.json", plain), gold).score == 50.0
    line = "Answer the question using a single word or phrase."
    llava = [
        {"question_id": "abc", "prompt": f"What year?\nReference OCR token: 1999\n{line}", "text": "2000"},
        {"question_id": "abc", "prompt": f"Reference OCR token: x\nWhat brand is it?\n{line}", "text": "dakota,"},
    ]
    assert score("textvqa", write("l.jsonl", llava), gold).score == 50.0


def test_textvqa_needs_ten_answers(write: Write) -> None:
    gold = write("a.json", {"data": [{"question_id": 1, "answers": ["a"] * 9}]})
    with pytest.raises(DataError, match="found 9 answers"):
        score("textvqa", write("p.json", [{"question_id": 1, "answer": "a"}]), gold)


@pytest.mark.parametrize(
    "row", [{"question_id": 1}, {"question_id": 1, "answers": []}, {"question_id": 1, "answers": "cat"}]
)
def test_annotations_without_answers_are_refused(write: Write, row: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="annotators' answers"):
        score("vqav2", write("p.json", REPLIES), write("a.json", {"annotations": [row]}))


def test_vizwiz_answers_of_llava_are_joined_by_its_file_of_questions(write: Write) -> None:
    gold = write(
        "val.json", [{"image": f"{n}.jpg", "question": "?", "answers": [{"answer": f"a{n}"}] * 10} for n in (1, 2)]
    )
    answers = write("p.jsonl", [{"question_id": 10 + n, "text": f"a{n}"} for n in (2, 1)])
    asked = write("llava_test.jsonl", [{"question_id": 10 + n, "image": f"{n}.jpg", "text": "?"} for n in (1, 2)])
    assert score("vizwiz", answers, gold, {"questions": str(asked)}).score == 100
    with pytest.raises(DataError, match=r"--option questions=llava_test\.jsonl"):
        score("vizwiz", answers, gold)

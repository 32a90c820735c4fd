"""POPE, MME, VSR and Hateful Memes."""

import json
from pathlib import Path
from typing import Any

import pytest

from modalink.errors import DataError
from modalink.scoring.score import score
from tests.conftest import Write

LABELS = ["yes", "yes", "yes", "no", "no", "no"]
SAID = ["Yes", "yes it is", "No.", "No", "NO", "There is not. Yes"]


def pope(labels: list[str], start: int = 1) -> list[dict[str, Any]]:
    return [
        {"question_id": n, "image": f"{n}.jpg", "text": f"Is there a thing{n} in the imange?", "label": label}
        for n, label in enumerate(labels, start)
    ]


def test_pope_of_one_split(write: Write) -> None:
    replies = write("p.jsonl", [{"question_id": n, "text": text} for n, text in enumerate(SAID, 1)])
    report = score("pope", replies, write("coco_pope_random.json", _lines(pope(LABELS))))
    # TP 2, FN 1, TN 2, FP 1 (NO is no word of the rule).
    expected = {"TP": 2, "FP": 1, "TN": 2, "FN": 1, "accuracy": 2 / 3, "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3}
    for name, value in expected.items():
        assert report.metrics[name] == pytest.approx(value), name
    assert report.metrics["yes_ratio"] == 0.5 and report.score == pytest.approx(2 / 3)
    assert "one split of three (random)" in report.notes[0]


def test_pope_is_the_mean_of_its_splits(write: Write) -> None:
    folder = write("gold/coco_pope_random.json", _lines(pope(["yes", "no"]))).parent
    write("gold/coco_pope_popular.json", _lines(pope(["yes", "no"])))
    write("gold/coco_pope_adversarial.json", pope(["yes", "no"]))
    write("said/random.json", [{"question": "is there a thing1", "answer": "Yes"}, {"question": "", "answer": "No"}])
    write("said/popular.json", [{"question_id": 2, "answer": "Yes"}, {"question_id": 1, "answer": "Yes"}])
    write("said/adversarial.json", [{"question_id": 1, "answer": "No"}, {"question_id": 2, "answer": "No"}])
    report = score("pope", folder.parent / "said", folder)
    assert report.score == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert report.metrics["popular/f1"] == pytest.approx(2 / 3) and report.metrics["adversarial/precision"] == 0


def test_pope_by_content_where_ids_are_those_of_another_file(write: Write) -> None:
    folder = write("gold/coco_pope_random.json", pope(["yes", "no"])).parent
    write("gold/coco_pope_popular.json", pope(["no", "yes"]))
    asked = [
        {
            "question_id": 10 * k + n,
            "image": f"{n}.jpg",
            "text": f"Is there a thing{n} in the image?\nOne word.",
            "category": split,
        }
        for k, split in enumerate(("popular", "random"))
        for n in (2, 1)
    ]
    replies = [
        {"question_id": row["question_id"], "text": "Yes" if row["category"] == "random" else "No"} for row in asked
    ]
    report = score("pope", write("p.jsonl", replies), folder, {"questions": str(write("test.jsonl", asked))})
    assert report.metrics["random/recall"] == 1 and report.metrics["popular/recall"] == 0
    assert report.score == pytest.approx((2 / 3 + 0) / 2)


def test_pope_without_any_yes_is_zero_and_says_so(write: Write) -> None:
    replies = write("p.jsonl", [{"question_id": n, "answer": "no"} for n in range(1, 7)])
    report = score("pope", replies, write("a.json", pope(LABELS)))
    assert report.score == 0 and "no reply says yes" in report.notes[0]


def test_pope_labels_are_checked(write: Write) -> None:
    with pytest.raises(DataError, match="found label 'maybe'"):
        score("pope", write("p.jsonl", [{"question_id": 1, "answer": "no"}]), write("a.json", pope(["maybe"])))


def test_pope_leaves_out_what_is_not_annotated_and_knows_of_the_file_of_questions(write: Write) -> None:
    gold = write("coco_pope_random.json", pope(["yes", "no"]))
    splits = [(split, n) for split in ("popular", "random") for n in (1, 2)]
    asked = [
        {"question_id": k, "image": f"{n}.jpg", "text": f"Is there a thing{n} in the image?", "category": split}
        for k, (split, n) in enumerate(splits, 10)
    ]
    replies = write("p.jsonl", [{"question_id": row["question_id"], "text": "Yes"} for row in asked])
    report = score("pope", replies, gold, {"questions": str(write("test.jsonl", asked))})
    assert report.count == 2 and "2 predictions of parts that are not annotated are left out" in report.notes
    with pytest.raises(DataError, match=r"--option questions=llava_pope_test\.jsonl"):
        score("pope", replies, gold)
    with pytest.raises(DataError, match="needed what LLaVA's file of questions has under 'category'"):
        score("pope", replies, gold, {"questions": str(gold)})


def test_empty_replies_and_repeated_questions_are_noted(write: Write) -> None:
    rows = pope(LABELS)
    gold = write("coco_pope_random.json", rows)
    empty = [{"question_id": row["question_id"], "answer": ""} for row in rows]
    assert "6 replies are empty" in score("pope", write("p.jsonl", empty), gold).notes
    notes = score("pope", gold, gold).notes
    assert any(note.startswith("6 of 6 replies repeat their question word for word") for note in notes)
    assert "--annotations is the file of the predictions itself" in notes


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def mme(write: Write, folder: str, replies: list[str]) -> Path:
    lines = [
        "a.jpg\tIs it red? Please answer yes or no.\tYes",
        "a.jpg\tIs it blue? Please answer yes or no.\tNo",
        "b.jpg\tIs it red?  Please answer yes or no.\tYes",
        "b.jpg\tIs it blue? Please answer yes or no.\tNo",
    ]
    text = "".join(f"{line}\t{reply}\n" for line, reply in zip(lines, replies, strict=True))
    return write(f"{folder}/color.txt", text).parent


def test_mme_counts_questions_and_whole_images(write: Write) -> None:
    folder = mme(write, "said", ["Yes, it is", "no", "  yes", "No way"])
    report = score("mme_perception", folder, options={"missing": "skip"})
    # Three of four right, one of two images: 75 + 50. Two spaces push `yes` beyond the first four characters.
    assert report.score == report.metrics["color"] == report.metrics["perception"] == 125
    assert report.parse_failures == 1 and "without the sub-tasks existence" in report.notes[0]
    with pytest.raises(DataError, match="no questions of existence"):
        score("mme_perception", folder)


def test_mme_rows_are_paired_with_the_annotation_by_content(write: Write) -> None:
    gold = mme(write, "gold", ["x"] * 4)
    rows = [
        {
            "question_id": f"color/{image}.png",
            "prompt": f"Is it {color}?\nAnswer the question using a single word or phrase.",
            "text": text,
        }
        for image, color, text in (("b", "blue", "No"), ("b", "red", "Yes"), ("a", "blue", "Yes"), ("a", "red", "Yes"))
    ]
    rows.append({"question_id": "code_reasoning/1.png", "prompt": "?", "text": "Yes"})
    report = score("mme_perception", write("p.jsonl", rows), gold, {"missing": "skip"})
    assert report.score == 75 + 50


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a.jpg\tq\tYes\n", "found 3 tab separated cells, needed 4"),
        ("a.jpg\tq\tperhaps\tYes\n", "found label 'perhaps'"),
        ("a.jpg\tq\tYes\tYes\n", "found 1 questions, needed pairs"),
    ],
)
def test_mme_files_are_checked(write: Write, text: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        score("mme_perception", write("said/color.txt", text).parent, options={"missing": "skip"})


def test_mme_leaves_out_half_pairs_where_asked_and_tells_of_the_folder_below(write: Write) -> None:
    lines = [f"{image}.jpg\tq{n}\tYes" for image in "ab" for n in (1, 2)]
    gold = write("gold/color.txt", "".join(f"{line}\n" for line in lines)).parent
    rows = [{"question_id": f"color/{n}", "text": "Yes"} for n in (1, 2, 4)]
    report = score("mme_perception", write("p.jsonl", rows), gold, {"missing": "skip"})
    assert report.score == 200 and any("1 questions whose image has no other" in note for note in report.notes)
    with pytest.raises(DataError, match=rf"found no existence.txt .*; is it {gold}\?"):
        score("mme", gold.parent)


def test_mme_sums_both_parts(write: Write) -> None:
    for task in (
        "existence",
        "count",
        "position",
        "color",
        "posters",
        "celebrity",
        "scene",
        "landmark",
        "artwork",
        "OCR",
    ):
        folder = write(f"said/{task}.txt", "a\tq1\tYes\tyes\na\tq2\tNo\tno\n").parent
    for task in ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning"):
        write(f"said/{task}.txt", "a\tq1\tYes\tyes\na\tq2\tNo\tyes\n")
    report = score("mme", folder)
    assert (report.score, report.metrics["perception"], report.metrics["cognition"]) == (2200, 2000, 200)
    assert score("mme_cognition", folder).score == 200


VSR = [
    {"image": "1.jpg", "caption": "The cat is on the mat.", "label": 1, "relation": "on"},
    {"image": "1.jpg", "caption": "The cat is under the mat.", "label": 0, "relation": "under"},
    {"image": "2.jpg", "caption": "The cat is among dogs.", "label": 1, "relation": "among"},
]


def test_vsr_in_three_forms(write: Write) -> None:
    gold = write("test.jsonl", VSR)
    by_content = [
        {"image": r["image"], "caption": r["caption"], "text": t}
        for r, t in zip(VSR, ["True", "true", "yes."], strict=True)
    ]
    report = score("vsr", write("p.jsonl", by_content[::-1]), gold)
    assert report.score == pytest.approx(100 / 3) and report.parse_failures == 1
    assert {
        "relation/on": 100,
        "family/Topological": 100,
        "family/Projective": 0,
        "family/Unallocated": 0,
    }.items() <= report.metrics.items()
    assert score("vsr", write("p.txt", "1\n0\n1\n"), gold).score == 100
    assert score("vsr", write("n.jsonl", [{"id": n, "text": "false"} for n in range(3)]), gold).score == pytest.approx(
        100 / 3
    )


MEMES = [{"id": n, "img": f"{n}.png", "text": "t", "label": label} for n, label in enumerate([1, 1, 0, 0])]


def test_hateful_memes_by_probability(write: Write) -> None:
    gold = write("dev.jsonl", MEMES)
    table = [["id", "proba", "label"], [0, 0.9, 1], [1, 0.5, 0], [2, 0.5, 1], [3, 0.1, 0]]
    report = score("hateful_memes", write("submission.csv", table), gold)
    assert report.score == 100 * 3.5 / 4 and report.metrics["accuracy"] == 50
    assert score("hateful_memes", write("s.csv", table), gold, {"metric": "accuracy"}).score == 50


def test_hateful_memes_by_words(write: Write) -> None:
    gold = write("dev.jsonl", MEMES)
    replies = write("p.jsonl", [{"id": n, "text": text} for n, text in enumerate(["Yes", "no", "No ", "unsure"])])
    report = score("hateful_memes", replies, gold, {"metric": "accuracy"})
    assert (report.score, report.parse_failures) == (50, 1) and "auroc" not in report.metrics
    with pytest.raises(DataError, match="without a probability"):
        score("hateful_memes", replies, gold)


def test_hateful_memes_of_one_class_cannot_be_ranked(write: Write) -> None:
    rows = [{"id": n, "proba": 0.5, "label": 1} for n in (0, 1)]
    with pytest.raises(DataError, match="one class"):
        score("hateful_memes", write("p.jsonl", rows), write("a.jsonl", MEMES[:2]))


def test_hateful_memes_takes_probabilities_only_and_words_with_a_period(write: Write) -> None:
    gold = write("dev.jsonl", MEMES)
    with pytest.raises(DataError, match=r"line 1: found 1\.7, needed a probability from 0 to 1"):
        score("hateful_memes", write("p.jsonl", [{"id": n, "proba": 1.7} for n in range(4)]), gold)
    words = write("w.jsonl", [{"id": n, "said": text} for n, text in enumerate(["Yes.", "yes", "No.", "no"])])
    report = score("hateful_memes", words, gold, {"metric": "accuracy", "reply_field": "said"})
    assert (report.score, report.parse_failures) == (100, 0)

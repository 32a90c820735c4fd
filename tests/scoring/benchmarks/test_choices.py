"""ScienceQA, MMBench, SEED-Bench, Q-Bench, IconQA and ModelNet40."""

from pathlib import Path
from typing import Any

import openpyxl
import pytest

from modalink.errors import DataError
from modalink.scoring.benchmarks import scienceqa
from modalink.scoring.registry import load
from modalink.scoring.score import score
from tests.conftest import Write

PROBLEMS: dict[str, dict[str, Any]] = {
    "1": {"question": "q", "choices": ["x", "y"], "answer": 1, "hint": "h", "image": "image.png", "grade": "grade6",
          "subject": "natural science", "topic": "physics", "split": "test"},
    "2": {"question": "q", "choices": ["x", "y", "z"], "answer": 2, "hint": "", "image": None, "grade": "grade7",
          "subject": "language science", "topic": "verbs", "split": "test"},
    "3": {"question": "q", "choices": ["x", "y"], "answer": 0, "hint": "h", "image": None, "grade": "grade1",
          "subject": "social science", "topic": "culture", "split": "test"},
    "4": {"question": "q", "choices": ["x", "y"], "answer": 0, "hint": "", "image": None, "grade": "grade1",
          "subject": "social science", "topic": "culture", "split": "train"},
}  # fmt: skip


def test_scienceqa_groups_and_choices_beyond_the_last(write: Write) -> None:
    folder = write("problems.json", PROBLEMS).parent
    rows = [{"question_id": n, "text": text} for n, text in (("1", "B. y"), ("2", "The answer is C."), ("3", "C"))]
    report = score("scienceqa", write("p.jsonl", rows), folder)
    assert report.score == pytest.approx(200 / 3) and report.count == 3
    assert report.parse_failures == 1  # C is a letter, but of two choices
    expected = {"context/IMG": 100, "context/TXT": 50, "context/NO": 100, "subject/NAT": 100, "subject/LAN": 100}
    expected |= {"subject/SOC": 0, "grade/G1-6": 50, "grade/G7-12": 100, "topic/physics": 100, "image_accuracy": 100}
    assert expected.items() <= report.metrics.items()


def test_scienceqa_result_files_hold_indices(write: Write) -> None:
    results = {"acc": 0.5, "count": 3, "results": {"1": 1, "2": 0, "3": -1}, "outputs": {"1": "The answer is B."}}
    assert score("scienceqa", write("r.json", results), write("problems.json", PROBLEMS)).score == pytest.approx(
        100 / 3
    )


def test_scienceqa_image_scores_a_part_of_all_predictions(write: Write) -> None:
    gold = write("problems.json", PROBLEMS)
    rows = [{"question_id": n, "text": "A"} for n in "123"]
    report = score("scienceqa_image", write("p.jsonl", rows), gold)
    assert (report.score, report.count) == (0, 1)
    assert score("scienceqa_image", write("i.jsonl", rows[:1]), gold).count == 1


def test_scienceqa_prompt(write: Write) -> None:
    question = next(scienceqa.questions(write("problems.json", PROBLEMS), scienceqa.ScienceqaOptions()))
    assert scienceqa.prompt(question) == (
        "Context: h\nq\nA. x\nB. y\nAnswer with the option's letter from the given choices directly."
    )


ROLLS = [
    ["index", "question", "hint", "A", "B", "C", "D", "answer", "category", "l2-category"],
    [5, "Which?", "nan", "cat", "dog", "", "", "A", "object", "fine"],
    [1000005, "Which?", "nan", "dog", "cat", "", "", "B", "object", "fine"],
    [7, "Where?", "see", "left", "right", "None", "", "B", "place", "coarse"],
    [1000007, "Where?", "see", "None", "left", "right", "", "C", "place", "coarse"],
]
SAID = {5: "A", 1000005: "the cat", 7: "B", 1000007: "left or right"}


def test_mmbench_asks_for_every_roll(write: Write) -> None:
    table = write("mmbench.tsv", ROLLS)
    replies = write("p.jsonl", [{"question_id": key, "text": text} for key, text in SAID.items()])
    report = score("mmbench", replies, table)
    assert (report.score, report.count, report.parse_failures) == (50.0, 2, 1)
    assert (report.metrics["first_accuracy"], report.metrics["all_accuracy"]) == (100.0, 75.0)
    assert report.metrics["category/object"] == 100 and report.metrics["l2-category/coarse"] == 0
    assert "1 replies chose no option" in report.notes[0]
    assert score("mmbench", replies, table, {"protocol": "first"}).score == 100
    assert score("mmbench", replies, table, {"protocol": "all"}).count == 4


def test_mmbench_lets_a_judge_decide_what_the_text_does_not(write: Write) -> None:
    table = write("mmbench.tsv", ROLLS)
    replies = write("p.jsonl", [{"question_id": key, "text": text} for key, text in SAID.items()])
    verdicts = [
        {"id": 1000007, "attempt": 0, "reply": "hm"},
        {"id": 1000007, "attempt": 1, "reply": "C", "model": "gpt"},
    ]
    report = score("mmbench", replies, table, {"replies": str(write("r.jsonl", verdicts))})
    assert report.score == 100 and report.parse_failures == 0 and "go to the judge" in report.rule


def test_mmbench_upload_carries_its_answers(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append([*ROLLS[0], "prediction"])
    for row in ROLLS[1:]:
        book.active.append([*row, SAID[int(str(row[0]))]])
    book.save(tmp_path / "upload.xlsx")
    assert score("mmbench_cn", tmp_path / "upload.xlsx").score == 50


def test_mmbench_without_rolls_says_that_it_is_another_number(write: Write) -> None:
    table = write("mmbench.tsv", [ROLLS[0], ROLLS[1]])
    report = score("mmbench", write("p.jsonl", [{"question_id": 5, "text": "A"}]), table)
    assert "not comparable" in report.notes[-1]


def test_mmbench_prompts(write: Write) -> None:
    (_, english_benchmark), (_, chinese_benchmark) = load("mmbench"), load("mmbench_cn")
    found = list(english_benchmark.questions(write("mmbench.tsv", ROLLS), english_benchmark.options()))
    english = "Which?\nA. cat\nB. dog\nAnswer with the option's letter from the given choices directly."
    assert english_benchmark.prompt(found[0]) == english
    assert chinese_benchmark.prompt(found[2]).startswith("see\nWhere?\nA. left\nB. right\n请")


SEED = {
    "questions": [
        {"question_id": "101", "question_type_id": 1, "answer": "A", **{f"choice_{c}": f"w{c}" for c in "abcd"}},
        {"question_id": "102", "question_type_id": 9, "answer": "B", **{f"choice_{c}": f"w{c}" for c in "abcd"}},
        {"question_id": "103", "question_type_id": 9, "answer": "C", **{f"choice_{c}": f"w{c}" for c in "abcd"}},
        {"question_id": "v0", "question_type_id": 10, "answer": "C", **{f"choice_{c}": f"w{c}" for c in "abcd"}},
    ],
    "question_type": {"Scene Understanding": 1},
}


def test_seedbench_counts_questions_not_dimensions(write: Write) -> None:
    gold = write("SEED-Bench.json", SEED)
    rows = [
        {"question_id": 101, "text": "A"},
        {"question_id": 102, "text": "B. wb"},
        {"question_id": 103, "text": "wc"},
    ]
    replies = write("p.jsonl", [*rows, {"question_id": "v0", "prediction": "C"}])
    report = score("seedbench", replies, gold)
    assert report.score == 50 and report.metrics["type/image"] == pytest.approx(100 / 3)
    image = score("seedbench_image", replies, gold)
    assert (image.score, image.count) == (pytest.approx(100 / 3), 3)
    assert score("seedbench_image", write("i.jsonl", rows), gold).score == image.score
    assert score("seedbench_image", replies, gold, {"parse": "first"}).score == pytest.approx(200 / 3)
    assert score("seedbench_image", replies, gold, {"parse": "matching"}).score == 100


def test_qbench(write: Write) -> None:
    items = [
        {
            "img_path": "1.jpg",
            "question": "?",
            "candidates": ["High", "Low"],
            "correct_ans": "Low",
            "type": 2,
            "concern": 3,
        },
        {
            "img_path": "2.jpg",
            "question": "?",
            "candidates": ["No", "Yes"],
            "correct_ans": "Yes",
            "type": 0,
            "concern": 0,
        },
        {
            "img_path": "3.jpg",
            "question": "?",
            "candidates": ["no idea at all", "b"],
            "correct_ans": "no idea at all",
            "type": 1,
            "concern": 1,
        },
    ]
    said = ["B. Low", "yes.", "no idea at all, sorry"]
    replies = write("p.jsonl", [{**item, "response": text} for item, text in zip(items, said, strict=True)])
    report = score("qbench", replies, write("dev.json", items))
    assert report.score == 100
    assert {"type/how": 100, "type/yes-no": 100, "concern/in-context other": 100}.items() <= report.metrics.items()
    strict = score("qbench", replies, write("dev.json", items), {"parse": "exact"})
    assert strict.score == pytest.approx(100 / 3) and strict.parse_failures == 2


def test_qbench_test_split_has_no_answers(write: Write) -> None:
    item = {"img_path": "1.jpg", "question": "?", "candidates": ["a", "b"]}
    with pytest.raises(DataError, match="scored by its server"):
        score("qbench", write("p.jsonl", [{"img_path": "1.jpg", "response": "a"}]), write("test.json", [item]))


def test_iconqa_parts_skills_and_splits(write: Write) -> None:
    problems = {
        "1": {"question": "q", "choices": ["x", "y"], "answer": 1, "ques_type": "choose_txt"},
        "2": {"question": "q", "choices": ["x.png", "y.png"], "answer": 0, "ques_type": "choose_img"},
        "3": {"question": "q", "answer": "7", "ques_type": "fill_in_blank"},
        "9": {"question": "q", "answer": "7", "ques_type": "fill_in_blank"},
    }
    folder = write("data/problems.json", problems).parent
    write("data/pid2skills.json", {"1": ["counting"], "2": ["counting", "time"], "3": ["time"], "9": []})
    write("data/pid_splits.json", {"test": ["1", "2", "3"], "train": ["9"]})
    for task, results in {"a": {"1": 1}, "b": {"2": 1}, "c": {"3": "7"}}.items():
        write(f"out/{task}.json", {"accuracy": 1, "results": results})
    report = score("iconqa", write("out/d/none.json", {"results": {}}).parents[1], folder, {"split": "test"})
    assert report.score == pytest.approx(200 / 3)
    assert report.metrics["skill/counting"] == report.metrics["skill/time"] == 50
    text = score(
        "iconqa", write("t.json", [{"pid": "1", "answer": "B."}]), folder, {"split": "test", "part": "choose_txt"}
    )
    assert (text.score, text.count) == (100, 1) and "choose_txt" in text.rule


def test_modelnet40(write: Write) -> None:
    gold = [{"object_id": n, "label": label} for n, label in enumerate(["airplane", "night_stand", 37, "bed"])]
    said: list[Any] = ["This is an object of an airplane.", 23, "a vase or a bottle", "a small bed"]
    replies = write("p.json", [{"object_id": n, "model_output": text} for n, text in enumerate(said)])
    report = score("modelnet40", replies, write("a.json", gold))
    assert (report.score, report.parse_failures) == (75, 1)
    assert report.metrics["class_mean_accuracy"] == 75 and report.metrics["class/night stand"] == 100


@pytest.mark.parametrize("name", ["scienceqa", "mmbench", "seedbench", "qbench", "iconqa", "modelnet40"])
def test_annotations_of_another_kind_are_refused(write: Write, name: str) -> None:
    with pytest.raises(DataError):
        score(name, write("p.json", [{"id": 1, "answer": "A"}]), write("a.json", [{"id": 1, "nothing": 2}]))
    assert load(name)[0] == name

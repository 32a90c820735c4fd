"""A model put to benchmarks: what it is asked, what is written, what is scored, and how it resumes."""

import json
import signal
from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from modalink.errors import DataError
from modalink.evaluation import runner
from modalink.evaluation.dataset import open_dataset
from modalink.evaluation.runner import evaluate
from modalink.inference import Completion
from modalink.model import System
from modalink.scoring.score import score
from tests.support.forks import ended


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path)


@pytest.fixture
def vizwiz(tmp_path, write):
    """A folder in VizWiz's layout with seven questions."""
    answers = [{"answer": word} for word in ["red"] * 8 + ["blue"] * 2]
    rows = [{"image": f"{n}.png", "question": f"What is {n}?", "answers": answers} for n in range(7)]
    write("data/val.json", rows)
    for n in range(7):
        picture(tmp_path / f"data/val/{n}.png", n)
    return tmp_path / "data"


@pytest.fixture
def oracle(monkeypatch):
    """Let any system reply from a table: what the last line of its question begins with, or else `other`."""

    def say(table: dict[str, str], other: str = "no idea"):
        heard = []

        def replies(system, talks, **options):
            for talk in talks:
                heard.append(talk)
                words = talk.turns[-1].text.strip()
                yield Completion(next((reply for start, reply in table.items() if words.startswith(start)), other))

        monkeypatch.setattr(runner, "replies", replies)
        return heard

    return say


def test_answers_in_batches_are_those_of_one_by_one(reader, vizwiz, tmp_path):
    together, alone = (
        evaluate(reader, "vizwiz", vizwiz, out=tmp_path / str(b), batch=b, max_new_tokens=6) for b in (3, 1)
    )
    lines = together.predictions.read_text().splitlines()
    assert lines == alone.predictions.read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["question_id"] for row in rows] == [f"{n}.png" for n in range(7)]
    assert len({row["answer"] for row in rows}) > 1
    assert together.report.count == 7 and not together.skipped
    # The command that is told scores the same.
    assert together.command.startswith(f"modalink score vizwiz --predictions {together.predictions} --annotations")
    assert score("vizwiz", together.predictions, vizwiz / "val.json").score == together.report.score


KILLED = """
import os, signal, sys
from pathlib import Path
from modalink.evaluation.runner import evaluate
from modalink.model import System

def die(done, number):
    if done >= 4:
        os.kill(os.getpid(), signal.SIGKILL)

run, data, out = map(Path, sys.argv[1:])
evaluate(System.load(run / "model"), "vizwiz", data, out=out, batch=2, max_new_tokens=6, on_progress=die)
"""


def test_it_goes_on_after_kill_9(saved, reader, vizwiz, tmp_path, write):
    whole = evaluate(reader, "vizwiz", vizwiz, out=tmp_path / "whole", batch=2, max_new_tokens=6)
    program, output = write("killed.py", KILLED), tmp_path / "output"
    arguments = [str(path) for path in (saved, vizwiz, tmp_path / "cut")]
    assert ended(str(program), arguments, output) == -signal.SIGKILL, output.read_text()
    file = tmp_path / "cut" / "predictions.jsonl"
    before = file.read_bytes()
    assert before == b"".join(whole.predictions.read_bytes().splitlines(keepends=True)[:4])
    file.write_bytes(before + b'{"question_id": "4.png", "ans')
    heard = []
    again = evaluate(
        reader,
        "vizwiz",
        vizwiz,
        out=tmp_path / "cut",
        batch=2,
        max_new_tokens=6,
        on_progress=lambda *told: heard.append(told),
    )
    assert heard == [(4, 7), (6, 7), (7, 7)]
    assert file.read_bytes() == whole.predictions.read_bytes()
    assert again.report.as_dict(per_item=True) == whole.report.as_dict(per_item=True)


def test_another_model_prompt_or_length_does_not_go_on(saved, reader, vizwiz, tmp_path, write):
    out = tmp_path / "out"
    evaluate(reader, "vizwiz", vizwiz, out=out, limit=2, max_new_tokens=2)
    evaluate(reader, "vizwiz", vizwiz, out=out, limit=3, max_new_tokens=2)  # more of the same is fine
    with pytest.raises(DataError, match=r"something else:\n  max_new_tokens: then 2, now 3\n.*--out"):
        evaluate(reader, "vizwiz", vizwiz, out=out, limit=3, max_new_tokens=3)
    with pytest.raises(DataError, match=r"questions: then"):
        evaluate(reader, open_dataset("vizwiz", vizwiz, prompt="{question}"), out=out, max_new_tokens=2)
    other = System.load(saved / "model")
    with torch.no_grad():
        next(other.model.parameters()).view(-1)[0] += 1e-3
    with pytest.raises(DataError, match=r"weights: then"):
        evaluate(other, "vizwiz", vizwiz, out=out, max_new_tokens=2)


def test_a_limit_scores_what_was_asked_and_says_so(reader, vizwiz, tmp_path):
    report = evaluate(reader, "vizwiz", vizwiz, out=tmp_path / "out", limit=2, max_new_tokens=2).report
    assert report.count == 2 and "partial: 5 of 7 questions have no prediction" in report.notes[0]


def test_a_damaged_picture_stops_it_or_is_left_out(reader, vizwiz, tmp_path):
    (vizwiz / "val/3.png").write_bytes((vizwiz / "val/3.png").read_bytes()[:200])
    with pytest.raises(DataError, match=r"question 3.png: .*3.png: is truncated.*--partial"):
        evaluate(reader, "vizwiz", vizwiz, out=tmp_path / "out", batch=2, max_new_tokens=2)
    assert len((tmp_path / "out/predictions.jsonl").read_text().splitlines()) == 2, "answers before it are kept"
    evaluation = evaluate(reader, "vizwiz", vizwiz, out=tmp_path / "out", batch=2, max_new_tokens=2, partial=True)
    assert [(skipped.id, "truncated" in skipped.why) for skipped in evaluation.skipped] == [("3.png", True)]
    assert evaluation.report.count == 6 and "partial: 1 of 7" in evaluation.report.notes[0]
    picture(vizwiz / "val/3.png", 3)
    assert evaluate(reader, "vizwiz", vizwiz, out=tmp_path / "out", max_new_tokens=2).report.count == 7


def test_vqa_is_asked_and_scored(reader, vizwiz, oracle, tmp_path):
    heard = oracle({"What is 0": "Red", "What is 1": "a red.", "What is 2": "blue"})
    report = evaluate(reader, "vizwiz", vizwiz, out=tmp_path / "out").report
    lines = [talk.turns[-1].text.strip().split("\n") for talk in heard]
    assert lines[0][1:] == [
        "When the provided information is insufficient, respond with 'Unanswerable'.",
        "Answer the question using a single word or phrase.",
    ]
    # Eight of ten annotators say red, two say blue: 1, 1 and 0.6.
    assert report.score == pytest.approx(100 * 2.6 / 7, abs=0.01)


def test_pope_splits_are_asked_and_scored(reader, oracle, write, tmp_path):
    for split in ("random", "popular", "adversarial"):
        rows = [
            {
                "question_id": n,
                "image": f"COCO_val2014_{n:012d}.png",
                "text": f"Is there a {split} {n}?",
                "label": label,
            }
            for n, label in ((1, "yes"), (2, "no"))
        ]
        write(f"data/coco/coco_pope_{split}.json", "".join(f"{json.dumps(row)}\n" for row in rows))
    for n in (1, 2):
        picture(tmp_path / f"data/val2014/COCO_val2014_{n:012d}.png", n)
    oracle({"Is there a random 1": "Yes", "Is there a popular 1": "Yes, two.", "Is there a popular 2": "yes"}, "No.")
    report = evaluate(reader, "pope", tmp_path / "data", out=tmp_path / "out").report
    assert (report.metrics["random/f1"], report.metrics["adversarial/f1"]) == (1, 0)
    assert report.metrics["popular/f1"] == pytest.approx(2 / 3) and report.count == 6


def test_mmbench_rolls_are_asked_and_scored(reader, oracle, write, tmp_path):
    picture(tmp_path / "a.png", 1)
    data = b64encode((tmp_path / "a.png").read_bytes()).decode()
    header = ["index", "question", "hint", "A", "B", "answer", "category", "image"]
    rows = [[1, "Q1", "", "x", "y", "A", "c", data], [1_000_001, "Q1", "", "y", "x", "B", "c", "1"]]
    rows += [[2, "Q2", "", "x", "y", "A", "c", data], [1_000_002, "Q2", "", "y", "x", "B", "c", "2"]]
    write("data/mmbench_dev_20230712.tsv", [header, *rows])
    heard = oracle({"Q1\nA. x": "A", "Q1\nA. y": "B. x", "Q2\nA. x": "A"}, "A")
    report = evaluate(reader, "mmbench", tmp_path / "data", out=tmp_path / "out").report
    assert (report.score, report.metrics["all_accuracy"], report.count) == (50, 75, 2)
    assert all(len(list(talk.media("image"))) == 1 for talk in heard)


def test_mme_pairs_are_asked_and_scored(reader, oracle, write, tmp_path):
    for task in ("existence", "color"):
        lines = "".join(
            f"{n}.png\tIs {n} {task}? Please answer yes or no.\t{label}\n" for n in (1, 2) for label in ("Yes", "No")
        )
        write(f"data/eval/{task}.txt", lines)
        for n in (1, 2):
            picture(tmp_path / f"data/{task}/images/{n}.png", n)
    heard = oracle({"Is 1": "Yes"}, "no")
    dataset = open_dataset("mme_perception", tmp_path / "data", options={"missing": "skip"})
    report = evaluate(reader, dataset, out=tmp_path / "out").report
    assert report.metrics["existence"] == report.metrics["color"] == 50 and report.count == 8
    assert heard[0].turns[0].text == "\nIs 1 existence?\nAnswer the question using a single word or phrase."


def test_captions_are_asked_and_scored(reader, oracle, write, tmp_path):
    images = [{"id": n, "file_name": f"{n}.png"} for n in (1, 2)]
    rows = [{"image_id": n, "caption": f"a {word} cat on a {word} mat"} for n, word in ((1, "red"), (2, "blue"))]
    write("data/captions_val2014.json", {"images": images, "annotations": rows})
    for n in (1, 2):
        picture(tmp_path / f"data/{n}.png", n)
    oracle({}, "a red cat on a red mat")
    dataset = open_dataset("coco_captions", tmp_path / "data", options={"meteor": "false", "tokenizer": "python"})
    report = evaluate(reader, dataset, out=tmp_path / "out").report
    assert report.count == 2 and 0 < report.metrics["Bleu_1"] < 1


def test_hateful_memes_in_words_are_scored_by_accuracy(reader, oracle, write, tmp_path):
    write("data/dev_seen.jsonl", [{"id": n, "img": f"img/{n}.png", "text": f"meme {n}", "label": n} for n in (0, 1)])
    for n in (0, 1):
        picture(tmp_path / f"data/img/{n}.png", n)
    oracle({"This is an image with 'meme 1'": "yes"}, "no")
    report = evaluate(reader, "hateful_memes", tmp_path / "data", out=tmp_path / "out").report
    assert report.score == 100 and report.options["metric"] == "accuracy"


def test_without_a_judge_answers_are_kept_for_later(reader, oracle, write, tmp_path):
    write("data/mm-vet.json", {"v1_0": {"imagename": "v1_0.png", "question": "What?", "answer": "x", "capability": []}})
    picture(tmp_path / "data/v1_0.png", 1)
    oracle({}, "an x")
    evaluation = evaluate(reader, "mmvet", tmp_path / "data", out=tmp_path / "out")
    assert evaluation.report is None and '"answer": "an x"' in evaluation.predictions.read_text()
    assert evaluation.command.startswith("modalink score mmvet --predictions")
    grades = write("grades.jsonl", [{"id": "v1_0", "reply": "0.7", "model": "m"}])
    dataset = open_dataset("mmvet", tmp_path / "data", options={"replies": str(grades)})
    assert evaluate(reader, dataset, out=tmp_path / "out").report.score == 70


def test_the_tiny_world_is_a_benchmark_like_the_others(reader, tmp_path):
    dataset = open_dataset("tiny_world", options={"count": 4, "split": "validation"})
    evaluation = evaluate(reader, dataset, out=tmp_path / "out", max_new_tokens=4)
    assert evaluation.report.count == 4
    right = [{"question_id": q.id, "answer": f"The {q.gold.upper()}."} for q in dataset.questions]
    (tmp_path / "p.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in right))
    options = {"count": 4, "split": "validation"}
    assert score("tiny-world", tmp_path / "p.jsonl", options=options).score == 100

"""Every benchmark about images, from a folder in its official layout: who replies rightly gets the full score."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from modalink.conversation import Conversation
from modalink.evaluation import runner
from modalink.evaluation.dataset import open_dataset
from modalink.evaluation.runner import evaluate
from modalink.inference import Completion
from modalink.model import System
from modalink.scoring.registry import catalogue

TEN = [{"answer": "red", "raw_answer": "red", "answer_id": n} for n in range(10)]
COCO = "COCO_val2014_000000000007.jpg"


@dataclass
class Layout:
    """One question as the official files tell it, and the right reply."""

    files: dict[str, Any]
    picture: str
    reply: str = "red"
    asked: str = "What colour?\nAnswer the question using a single word or phrase."
    options: dict[str, str] = field(default_factory=dict)


PROBLEM = {"question": "What colour?", "choices": ["blue", "red"], "answer": 1, "split": "test"}
LETTERS = "What colour?\nA. blue\nB. red\nAnswer with the option's letter from the given choices directly."
BOX = "Please provide the bounding box coordinate of the region this sentence describes: What colour?"
CAPTION = "Provide a one-sentence caption for the provided image."
REFERENCE = "a red cat on a mat"
RED = {"question": "What colour?", "answers": ["red"] * 10}
SEED = {"question_id": "9", "question": "What colour?", "data_id": "454_2591", "question_type_id": 1, "answer": "B"}
SEED |= {"choice_a": "blue", "choice_b": "red", "choice_c": "x", "choice_d": "y"}
SEEN = {"reply": "B", "asked": LETTERS.replace("red\n", "red\nC. x\nD. y\n")}
BOXED = {"sent_id": 1, "img_id": COCO, "expression": "What colour?", "bbox": [0, 0, 4, 8], "width": 8, "height": 8}
VQA = {
    "{}mscoco_val2014_annotations.json": {"annotations": [{"question_id": 70, "image_id": 7, "answers": TEN}]},
    "{}mscoco_val2014_questions.json": {
        "questions": [{"question_id": 70, "image_id": 7, "question": "What colour?"}],
        "info": {},
    },
}
VQAV2 = {name.format("v2_" if "ann" in name else "v2_OpenEnded_"): data for name, data in VQA.items()}
OKVQA = {name.format("" if "ann" in name else "OpenEnded_"): data for name, data in VQA.items()}
CAPTIONS = {"images": [{"id": 7, "file_name": COCO}], "annotations": [{"image_id": 7, "caption": REFERENCE}]}
KARPATHY = {"images": [{"filename": "7.jpg", "split": "test", "sentences": [{"raw": REFERENCE}]}]}
TOLD = {"reply": REFERENCE, "asked": CAPTION, "options": {"tokenizer": "python", "meteor": "false"}}

LAYOUTS = {
    "vqav2": Layout(VQAV2, f"val2014/{COCO}"),
    "okvqa": Layout(OKVQA, f"val2014/{COCO}"),
    "textvqa": Layout(
        {"TextVQA_0.5.1_val.json": {"data": [{**RED, "question_id": 1, "image_id": "ab12"}]}}, "train_images/ab12.jpg"
    ),
    "vizwiz": Layout(
        {"Annotations/val.json": [{**RED, "image": "VizWiz_val_7.jpg", "answers": TEN}]},
        "val/VizWiz_val_7.jpg",
        asked="What colour?\nWhen the provided information is insufficient, respond with 'Unanswerable'.\n"
        "Answer the question using a single word or phrase.",
    ),
    "gqa": Layout(
        {"questions1.2/testdev_balanced_questions.json": {"70": {**RED, "answer": "red", "imageId": "n7"}}},
        "images/n7.jpg",
        reply="Red.",
    ),
    "chartqa": Layout(
        {"test_human.json": [{"imgname": "7.png", "query": "What colour?", "label": "10"}]}, "png/7.png", reply="10.4"
    ),
    "vsr": Layout(
        {"test.jsonl": [{"image": "000000000007.jpg", "caption": "It is red.", "label": 1, "relation": "on"}]},
        "images/000000000007.jpg",
        reply="True",
        asked="Based on the image, is this statement true or false? It is red.",
    ),
    "scienceqa": Layout(
        {"problems.json": {"7": {**PROBLEM, "image": "image.png"}}}, "images/test/7/image.png", "B", LETTERS
    ),
    "scienceqa_image": Layout(
        {"problems.json": {"7": {**PROBLEM, "image": "image.png"}}}, "test/7/image.png", "The answer is B.", LETTERS
    ),
    "iconqa": Layout(
        {"problems.json": {"7": {**PROBLEM, "ques_type": "choose_txt"}}},
        "iconqa/test/choose_txt/7/image.png",
        "B",
        LETTERS,
    ),
    "seedbench": Layout({"SEED-Bench.json": {"questions": [SEED]}}, "SEED-Bench-image/454_2591", **SEEN),
    "seedbench_image": Layout({"SEED-Bench.json": {"questions": [SEED]}}, "images/454_2591.jpg", **SEEN),
    "qbench": Layout(
        {
            "llvisionqa_dev.json": [
                {"img_path": "7.jpg", "question": "What colour?", "candidates": ["blue", "red"], "correct_ans": "red"}
            ]
        },
        "images/7.jpg",
        "B. red",
        LETTERS,
    ),
    "coco_captions": Layout({"annotations/captions_val2014.json": CAPTIONS}, f"val2014/{COCO}", **TOLD),
    "nocaps": Layout({"nocaps_val_4500_captions.json": CAPTIONS}, f"val/{COCO}", **TOLD),
    "flickr30k": Layout({"dataset_flickr30k.json": KARPATHY}, "flickr30k-images/7.jpg", **TOLD),
    **{
        name: Layout({f"{file}_val.json": [BOXED]}, f"train2014/{COCO}", "[0.0, 0.0, 0.5, 1.0]", BOX)
        for name, file in (("refcoco", "refcoco"), ("refcoco_plus", "refcoco+"), ("refcocog", "refcocog"))
    },
}
ELSEWHERE = {
    "pope",
    "mme",
    "mme_perception",
    "mme_cognition",
    "hateful_memes",
    "mmbench",
    "mmbench_cn",
    "llava_bench",
    "mmvet",
}
"""Benchmarks with tests of their own in `test_runner.py` and `tests/cli/test_evaluate.py`."""


@pytest.fixture
def put(
    tmp_path: Path, write: Callable[[str, Any], Path], reader: System, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Make the folder, ask a model that replies what it is told, and give its outcome and what it heard."""

    def make(name: str, layout: Layout) -> tuple[Any, list[Conversation]]:
        for file, data in layout.files.items():
            write(f"data/{file}", data)
        picture = tmp_path / "data" / layout.picture
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), "red").save(picture, "PNG")
        heard: list[Conversation] = []

        def replies(system: Any, talks: list[Conversation], **given: Any) -> list[Completion]:
            heard.extend(talks)
            return [Completion(layout.reply) for _ in talks]

        monkeypatch.setattr(runner, "replies", replies)
        dataset = open_dataset(name, tmp_path / "data", options=layout.options)
        return evaluate(reader, dataset, out=tmp_path / "out"), heard

    return make


@pytest.mark.parametrize("name", LAYOUTS)
def test_right_replies_earn_the_full_score(put: Callable[..., Any], name: str) -> None:
    layout = LAYOUTS[name]
    evaluation, (talk,) = put(name, layout)
    assert talk.turns[0].text == f"\n{layout.asked}" and len(list(talk.media("image"))) == 1
    # CIDEr of a single caption is 0 by its rule; its words are judged by BLEU here.
    score = (
        evaluation.report.metrics["Bleu_4"] * 100 if "Bleu_4" in evaluation.report.metrics else evaluation.report.score
    )
    assert score == pytest.approx(100) and evaluation.report.count == 1
    (line,) = evaluation.predictions.read_text().splitlines()
    assert json.loads(line)["answer"] == layout.reply


def test_no_benchmark_about_images_is_left_out() -> None:
    known = {row["name"] for row in catalogue() if row["data"].endswith("image files by their names")}
    assert known == LAYOUTS.keys() | ELSEWHERE

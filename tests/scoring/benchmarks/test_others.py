"""GQA, videos, boxes, captions, charts, speech."""

from typing import Any

import pytest

from modalink.errors import DataError
from modalink.scoring.score import score
from tests.conftest import Write


def gqa(answer: str, **more: Any) -> dict[str, Any]:
    return {
        "question": "What color?",
        "answer": answer,
        "isBalanced": True,
        "types": {"structural": "query", "semantic": "attr", "detailed": "color"},
        "groups": {"global": "color"},
        "entailed": [],
        "semantic": [{"operation": "query", "argument": "color"}],
        **more,
    }


GQA = {
    "1": gqa("red", entailed=["1", "2", "3"]),
    "2": gqa("yes", types={"structural": "verify", "semantic": "rel", "detailed": "x"}, groups={"global": None}),
    "3": gqa("red", isBalanced=False),
    "4": gqa("blue"),
}


def test_gqa_submissions_are_final_and_replies_are_not(write: Write) -> None:
    gold = write("testdev_balanced_questions.json", GQA)
    submission = [{"questionId": key, "prediction": text} for key, text in (("1", "red"), ("2", "Yes."), ("4", "red"))]
    report = score("gqa", write("p.json", submission), gold)
    assert report.score == pytest.approx(100 / 3) and report.count == 3
    assert (report.metrics["open"], report.metrics["binary"]) == (50, 0)
    # Of the colour group one red and one blue were right, and two red were said: ((2-1)^2 + (0-1)^2) / 100.
    assert report.metrics["distribution"] == pytest.approx(0.02)
    replies = [{"question_id": row["questionId"], "text": row["prediction"]} for row in submission]
    assert score("gqa", write("r.jsonl", replies), gold).score == pytest.approx(200 / 3)
    assert score("gqa", write("r.jsonl", replies), gold, {"postprocess": "none"}).score == pytest.approx(100 / 3)


def test_gqa_consistency_needs_the_unbalanced_questions(write: Write) -> None:
    gold = write("val_all_questions.json", GQA)
    rows = [{"questionId": key, "prediction": text} for key, text in (("1", "red"), ("2", "no"), ("4", "blue"))]
    with pytest.raises(DataError, match="1 of 4 questions"):
        score("gqa", write("p.json", rows), gold, {"consistency": "true"})
    report = score(
        "gqa", write("p.json", [*rows, {"questionId": "3", "prediction": "red"}]), gold, {"consistency": "true"}
    )
    assert report.metrics["consistency"] == 50 and report.count == 3


def test_gqa_validity_and_plausibility(write: Write) -> None:
    choices = {key: {"valid": ["red", "blue"], "plausible": ["red"]} for key in GQA}
    rows = [{"questionId": key, "prediction": text} for key, text in (("1", "red"), ("2", "maybe"), ("4", "blue"))]
    options = {"choices": str(write("choices.json", choices))}
    report = score("gqa", write("p.json", rows), write("q.json", GQA), options)
    assert report.metrics["validity"] == pytest.approx(200 / 3) and report.metrics["plausibility"] == pytest.approx(
        100 / 3
    )


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


BOXES = [
    {"id": 1, "img_id": "x", "sents": "left cat", "bbox": [10, 20, 40, 40], "width": 100, "height": 100},
    {"id": 2, "img_id": "x", "sents": "dog", "bbox": [0, 0, 50, 100], "width": 100, "height": 100},
]


def test_boxes_exceed_the_threshold_or_may_equal_it(write: Write) -> None:
    gold = write("a.json", BOXES)
    replies = write("p.jsonl", [{"id": 1, "text": "[0.1, 0.2, 0.5, 0.6]"}, {"id": 2, "text": "[0, 0, 1, 1]"}])
    report = score("refcoco", replies, gold)
    assert report.score == 50 and report.metrics["mean_iou"] == 0.75
    assert score("refcoco", replies, gold, {"inclusive": "true"}).score == 100
    assert ">= 0.5" in score("refcoco_plus", replies, gold, {"inclusive": "true"}).rule


def test_boxes_may_be_lists_of_pixels_and_none_is_wrong(write: Write) -> None:
    replies = write("p.json", [{"id": 1, "pred_bbox": [10, 20, 50, 60]}, {"id": 2, "pred_bbox": ""}])
    report = score("refcocog", replies, write("a.json", BOXES), {"coordinates": "pixel"})
    assert (report.score, report.parse_failures) == (50, 1)


def test_boxes_in_other_coordinates_than_told_are_noticed(write: Write) -> None:
    gold = write("a.json", BOXES)
    replies = write("p.jsonl", [{"id": 1, "text": "{<10><20><50><60>}"}, {"id": 2, "text": "{<0><0><50><99>}"}])
    with pytest.raises(DataError, match="numbers beyond 1"):
        score("refcoco", replies, gold)
    assert score("refcoco", replies, gold, {"coordinates": "hundred"}).score == 100
    with pytest.raises(DataError, match="leaves the image; is it xywh"):
        score("refcoco", replies, write("b.json", [{**BOXES[0], "bbox": [30, 20, 20, 40]}]), {"boxes": "xyxy"})
    with pytest.raises(DataError, match="needed four numbers"):
        score("refcoco", replies, write("c.json", [{**BOXES[0], "bbox": [1, 2]}]))


FAST = {"tokenizer": "python", "meteor": "false", "spice": "false"}


@pytest.mark.parametrize("form", ["coco", "karpathy", "references", "mapping", "rows"])
def test_right_captions_in_every_form(write: Write, form: str) -> None:
    right = {"1": ["A red cat.", "a cat sleeps"], "2": ["Two dogs run!", "dogs"]}
    if form == "coco":
        rows = [
            {"image_id": int(key), "caption": text, "id": n}
            for n, (key, texts) in enumerate(right.items())
            for text in texts
        ]
        gold = write("a.json", {"images": [{"id": 1}, {"id": 2}], "annotations": rows})
    elif form == "karpathy":
        images = [{"split": "test", "cocoid": int(k), "sentences": [{"raw": t} for t in ts]} for k, ts in right.items()]
        gold = write("a.json", {"images": [*images, {"split": "train", "cocoid": 9, "sentences": []}]})
    elif form == "references":
        gold = write("a.jsonl", [{"id": key, "references": texts} for key, texts in right.items()])
    elif form == "mapping":
        gold = write("a.json", right)
    else:
        lines = [[f"{key}{n}", key, text] for key, texts in right.items() for n, text in enumerate(texts)]
        gold = write("a.csv", [["audiocap_id", "youtube_id", "caption"], *lines])
    replies = write("p.json", [{"image_id": 2, "caption": "two dogs run"}, {"image_id": 1, "caption": "a red cat"}])
    report = score("coco_captions", replies, gold, FAST)
    assert report.metrics["Bleu_1"] == pytest.approx(1, abs=1e-6)
    assert report.score == report.metrics["CIDEr"] > 4
    assert report.interval is not None and report.count == 2


def test_captions_of_domains_are_scored_by_themselves(write: Write) -> None:
    images = [{"id": n, "domain": "in-domain" if n < 2 else "out-domain"} for n in range(4)]
    rows = [{"image_id": n, "caption": f"a thing{n} stands here"} for n in range(4)]
    replies = write(
        "p.json", [{"image_id": n, "caption": f"a thing{n} stands here" if n < 2 else ""} for n in range(4)]
    )
    report = score("nocaps", replies, write("a.json", {"images": images, "annotations": rows}), FAST)
    assert report.metrics["in-domain/CIDEr"] == pytest.approx(10)
    assert report.metrics["out-domain/CIDEr"] == 0 and report.metrics["CIDEr"] == pytest.approx(5)
    assert "2 captions are empty" in report.notes


def test_captions_and_references_in_one_file(write: Write) -> None:
    rows = [{"prediction": "a cat", "references": ["a cat", "cat"]}, {"prediction": "dogs", "references": ["two dogs"]}]
    report = score("flickr30k", write("both.json", rows), None, FAST)
    assert report.count == 2 and report.metrics["ROUGE_L"] > 0.5


def test_one_caption_alone_says_why_its_cider_is_zero(write: Write) -> None:
    report = score("audiocaps", write("one.json", [{"prediction": "a", "references": ["a"]}]), None, FAST)
    assert report.score == 0 and "no word is rare among one" in report.notes[-1]


def test_chartqa(write: Write) -> None:
    gold = write(
        "a.json",
        [{"imgname": "1.png", "query": "?", "label": "100"}, {"imgname": "1.png", "query": "!", "label": "Red"}],
    )
    assert score("chartqa", write("p.json", [{"answer": "104.9"}, {"answer": "red"}]), gold).score == 100


def test_speech_recognition(write: Write) -> None:
    gold = write("a.jsonl", [{"id": 1, "transcript": "The cat sat."}, {"id": 2, "transcript": "it's"}])
    replies = write("p.jsonl", [{"id": 1, "text": "the bat sat down"}, {"id": 2, "text": "IT'S"}])
    report = score("speech_recognition", replies, gold)
    assert report.score == 50 and report.metrics["words"] == 4
    assert score("speech_recognition", replies, gold, {"caseless": "false"}).score == 125

"""Boxes: thresholds, coordinates, and what is no box."""

import pytest

from modalink.errors import DataError
from modalink.scoring.score import score
from tests.conftest import Write

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


def test_numbers_of_boxes_may_be_written_in_every_way(write: Write) -> None:
    gold = write("a.json", [{**BOXES[0], "id": n} for n in range(4)])
    texts = ["[.1, .2, .5, .6]", "[1e-1, 2E-1, +0.5, 6e-1]", ".1 .2 .5 .6", "[1e400, 0, 1, 1]"]
    report = score("refcoco", write("p.jsonl", [{"id": n, "text": text} for n, text in enumerate(texts)]), gold)
    assert (report.score, report.parse_failures) == (75, 1)

"""Captions: references in every form, domains, single captions."""

import pytest

from modalink.errors import DataError
from modalink.scoring.score import score
from tests.conftest import Write

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


def test_captions_of_endless_length_are_refused(write: Write) -> None:
    for row in ({"prediction": "a" * 20_001, "references": ["a"]}, {"prediction": "a", "references": ["a" * 20_001]}):
        with pytest.raises(DataError, match=r"20,001 characters, needed 20,000 at most"):
            score("coco_captions", write("long.json", [row]), None, FAST)

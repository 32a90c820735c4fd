"""Numbers of a folder of made media that can be written down."""

import json
from pathlib import Path

import numpy as np
import pytest

from modalink.errors import DataError
from modalink.scoring.bootstrap import interval, means, means_by
from modalink.scoring.feature_store import SHARD, FeatureStore, only_store
from modalink.scoring.made_media import MadeMedium, read_made
from modalink.scoring.score import score
from tests.scoring.small_files import made_folder


def test_cosines_with_the_captions_of_their_prompts(tmp_path: Path) -> None:
    report = score("coco_images", made_folder(tmp_path / "a"))
    assert report.metrics["cosine"] == pytest.approx((1 + 0.6 + 0 - 1) / 4)
    assert report.score == report.metrics["clip_score"] == pytest.approx(2.5 * 1.6 / 4) and report.unit == "points"
    assert [item.grade.score for item in report.summary.items] == pytest.approx([2.5, 1.5, 0, 0])
    # Two media of a prompt are drawn together: of two prompts only three means can come about.
    assert report.interval == pytest.approx((0, 2)) and report.intervals["wrong_or_missing_media"] == (0, 0)


def test_missing_media_have_a_share_and_no_score(tmp_path: Path) -> None:
    report = score("coco_images", made_folder(tmp_path / "a", missing=("0-1", "1-0")))
    assert report.metrics["wrong_or_missing_media"] == 0.5 and report.metrics["media"] == 2
    assert report.score == pytest.approx(2.5 / 2)
    with pytest.raises(DataError, match="found 4 replies and no image in any of them"):
        score("coco_images", made_folder(tmp_path / "b", missing=("0-0", "0-1", "1-0", "1-1")))


def test_what_both_made_is_compared(tmp_path: Path) -> None:
    whole, part = made_folder(tmp_path / "a"), made_folder(tmp_path / "b", missing=("0-0",))
    report = score("coco_images", whole, against=part)
    assert report.comparison is not None and report.comparison.difference == 0 and report.both is not None
    assert [item.question.id for item in report.both[0].items] == ["0-1", "1-0", "1-1"]
    assert "compared: 3 media that both systems made, 1 of one alone left out" in report.notes


def test_damaged_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found no predictions\.jsonl, needed a folder in which"):
        score("coco_images", tmp_path)
    made = made_folder(tmp_path / "a")
    FeatureStore.of(made, "clip", "other", prefix="").write("made", 0, ["x"], np.ones((1, 2)))
    with pytest.raises(DataError, match=r"found clip features of several encoders: .*choose one by its option"):
        score("coco_images", made)
    assert score("coco_images", made, options={"clip": "mine"}).count == 4
    store = only_store(made, "clip", "mine")
    assert store is not None
    store.shard("made", 0).write_bytes(b"torn")
    with pytest.raises(DataError, match="not a file of numpy arrays"):
        score("coco_images", made, options={"clip": "mine"})
    store.write("made", 0, ["0-0"], np.ones((1, 2)))
    with pytest.raises(DataError, match=r"found no features of 3 media \(0-1\); start the evaluation again"):
        score("coco_images", made, options={"clip": "mine"})
    bad = tmp_path / "bad"
    bad.mkdir()
    for text, says in (('{"question_id": "1"}', "found no row of a made medium"), ("", "the file is empty")):
        (bad / "predictions.jsonl").write_text(text)
        with pytest.raises(DataError, match=says):
            read_made(bad)
    row = MadeMedium("1", "1", "c", "a", "r", "../../secret.png", "", "", "0").row()
    (bad / "predictions.jsonl").write_text(json.dumps(row))
    with pytest.raises(DataError, match=r"names the file '\.\./\.\./secret\.png'"):
        read_made(bad)


def test_means_of_owners_are_drawn_together() -> None:
    scores, owners = np.array([0.0, 0.0, 1.0, 1.0] * 30), [str(n // 2) for n in range(120)]
    together, alone = (interval(sample, 4000) for sample in (means_by(scores, owners), means(scores)))
    assert means_by(scores, owners).value() == scores.mean() == 0.5
    assert together[1] - together[0] > 1.25 * (alone[1] - alone[0])
    assert SHARD == 256

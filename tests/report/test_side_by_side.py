"""The page of two systems' media plays sounds, videos and shapes, and stays within its size."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from modalink import modalities
from modalink.report import side_by_side
from modalink.report.side_by_side import write_side_by_side
from modalink.scoring.feature_store import FeatureStore
from modalink.scoring.made_media import MadeMedium
from modalink.scoring.score import score

BENCHMARKS = {"audio": "audiocaps_sounds", "video": "msrvtt_videos", "points": "cap3d_shapes"}


def folder(path: Path, modality: str, worth: list[float], missing: int = -1) -> Path:
    """Three media with cosines that are given."""
    record, rows = modalities.get(modality), []
    (path / "media").mkdir(parents=True)
    for number in range(3):
        file = "" if number == missing else f"media/{number}{record.written}"
        if file:
            record.write(record.example(number), path / file)
        rows.append(
            MadeMedium(
                str(number),
                str(number),
                f"<b>thing</b> {number}",
                "make",
                "here",
                file,
                "" if file else "no reply",
                "",
                "1",
            ).row()
        )
    (path / "predictions.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    store = FeatureStore.of(path, "clip", "mine", prefix="")
    there = [n for n in range(3) if n != missing]
    store.write("made", 0, [str(n) for n in there], np.array([[worth[n], (1 - worth[n] ** 2) ** 0.5] for n in there]))
    store.write("texts", 0, ["0", "1", "2"], np.array([[1.0, 0.0]] * 3))
    return path


@pytest.mark.parametrize(
    ("modality", "kind"), [("audio", "audio/wav"), ("video", "image/webp"), ("points", "image/webp")]
)
def test_media_of_every_kind_are_shown_and_the_better_is_preferred(modality, kind, tmp_path):
    left = folder(tmp_path / "mine" / "evaluation" / "x", modality, [0.9, 0.1, 0.5])
    right = folder(tmp_path / "theirs" / "evaluation" / "x", modality, [0.2, 0.6, 0.5])
    report = score(BENCHMARKS[modality], left, against=right)
    file = write_side_by_side(left, right, report)
    page = file.read_text(encoding="utf-8")
    assert page.count(f"data:{kind};base64,") == 6 and ("<audio controls" in page) == (modality == "audio")
    assert "mine is preferred for 1, theirs for 1, neither for 1" in page and page.count(", preferred") == 2
    assert "<b>thing" not in page and "&lt;b&gt;thing&lt;/b&gt; 0" in page
    assert "<script" not in page and not re.search(r'(src|href)="(?!data:)', page)
    assert "0.900, preferred" in page and "0.600, preferred" in page


def test_a_missing_medium_is_told_and_the_other_preferred(tmp_path):
    left, right = (
        folder(tmp_path / "a", "audio", [0.9, 0.1, 0.5], missing=1),
        folder(tmp_path / "b", "audio", [0.2, 0.6, 0.5]),
    )
    page = write_side_by_side(left, right, score("audiocaps_sounds", left, against=right)).read_text(encoding="utf-8")
    assert "no reply" in page and page.count("data:audio/wav") == 5


def test_a_page_has_a_bounded_size(tmp_path, monkeypatch):
    left, right = folder(tmp_path / "a", "audio", [0.9, 0.1, 0.5]), folder(tmp_path / "b", "audio", [0.2, 0.6, 0.5])
    report = score("audiocaps_sounds", left, against=right)
    whole = write_side_by_side(left, right, report).read_text(encoding="utf-8")
    monkeypatch.setattr(side_by_side, "MOST_CHARACTERS", len(whole) // 2)
    page = write_side_by_side(left, right, report).read_text(encoding="utf-8")
    assert len(page) < len(whole) and re.search(r"The first [12] of 3; the media of all", page)

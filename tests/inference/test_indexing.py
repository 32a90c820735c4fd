"""Building an index is resumed where it was stopped, and leaves out what cannot be decoded."""

import json

import pytest
from PIL import Image

from modalink.data.sources.messages import MessagesConfig
from modalink.errors import DataError
from modalink.inference import indexing
from modalink.inference.indexing import build_index
from modalink.kinds import parse
from tests.support.little_recipes import record

NAMES = ("red", "lime", "blue", "yellow", "white")


class Killed(Exception):
    """Stands for a kill."""


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(indexing, "_BATCH", 2)


@pytest.fixture
def source(tmp_path):
    """Five flags, one row of which has no answer, one picture of which is cut."""
    rows = []
    for name in NAMES:
        path = tmp_path / f"{name}.png"
        Image.new("RGB", (64, 64), name).save(path)
        rows.append(record(name, "<image>what?", f"It is {name}.", images=[str(path)]))
    (tmp_path / "lime.png").write_bytes((tmp_path / "lime.png").read_bytes()[:60])
    rows[3] = {"id": "empty"}
    return written(tmp_path, rows)


def written(folder, rows):
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return MessagesConfig(path=str(folder / "data.jsonl"))


def words(folder):
    return parse("modalink.retrievers", {"kind": "words", "index": str(folder)})


def killed_after(taken):
    def hear(done, number):
        assert number == 5
        if done >= taken:
            raise Killed

    return hear


def test_a_build_that_was_killed_is_resumed_and_is_the_same_as_an_unbroken_one(source, tmp_path):
    whole = build_index(source, words(tmp_path / "whole"))
    assert whole.resumed == 0 and [entry.source for entry in whole.index.entries] == ["red", "blue", "white"]
    assert len(whole.left_out) == 2 and "lime.png" in whole.left_out[0]
    for taken in (2, 4):
        with pytest.raises(Killed):
            build_index(source, words(tmp_path / "again"), on_taken=killed_after(taken))
    again = build_index(source, words(tmp_path / "again"))
    assert again.resumed == 4 and again.left_out == whole.left_out
    assert again.index.sha256 == whole.index.sha256


def test_a_limit_counts_good_samples_also_of_those_taken_before(source, tmp_path):
    with pytest.raises(Killed):
        build_index(source, words(tmp_path / "index"), limit=3, on_taken=lambda done, number: killed_at(done))
    built = build_index(source, words(tmp_path / "index"), limit=3)
    assert built.resumed == 2 and [entry.source for entry in built.index.entries] == ["red", "blue"]


def killed_at(done):
    if done == 2:
        raise Killed


def test_a_source_that_has_changed_since_is_not_resumed(source, tmp_path):
    with pytest.raises(Killed):
        build_index(source, words(tmp_path / "index"), on_taken=killed_after(2))
    rows = [record(name, "what?", f"It is {name}.") for name in ("other", *NAMES[1:])]
    written(tmp_path, rows)
    with pytest.raises(DataError, match="stopped after 2 samples, and the source begins with others now; remove"):
        build_index(source, words(tmp_path / "index"))

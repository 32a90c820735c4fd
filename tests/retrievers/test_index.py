"""An index is whole or refused, holds its media, and is written at once or not at all."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from modalink import files
from modalink.errors import DataError, PartError
from modalink.retrievers._index import Index
from modalink.retrievers._index_writer import IndexWriter
from tests.retrievers.conftest import COLOURS, TEXTS, Shades, flag


def test_it_holds_what_was_written_wherever_it_lies(index, tmp_path):
    shutil.move(index, tmp_path / "moved")
    opened = Index.open(str(tmp_path / "moved"))
    assert [entry.text for entry in opened.entries] == [*TEXTS]
    ((modality, path),) = opened.found(1, 0.5).media
    assert modality == "image" and path.is_relative_to(tmp_path / "moved")
    assert Image.open(path).getpixel((0, 0)) == (0, 128, 0)
    vectors, owners = opened.vectors
    assert vectors.shape == (3, 3) and owners.tolist() == [0, 1, 2]


def test_equal_scores_keep_the_order_and_entries_are_left_out_by_source_or_medium(index):
    opened = Index.open(str(index))
    scores = np.array([0.5, 0.5, 0.1])

    def found(count, without=()):
        return [one.number for one in opened.nearest(scores, count, without)]

    assert found(2) == [0, 1] and found(9) == [0, 1, 2]
    assert found(9, {"red row"}) == [1, 2]
    assert found(9, {flag("green").digest, "nothing"}) == [0, 2]
    assert found(9, {f"{colour} row" for colour in COLOURS}) == []


def test_one_medium_of_several_entries_is_kept_once(tmp_path):
    with IndexWriter(tmp_path / "twice", {"kind": "words"}) as writer:
        for name in "ab":
            writer.add(name, name, [("image", flag("red"))])
        assert len(writer.close()) == 2
    assert len(list((tmp_path / "twice" / "media").iterdir())) == 1


def test_what_is_there_is_not_overwritten_and_an_unfinished_one_is_no_index(index, tmp_path):
    with pytest.raises(DataError, match="there is something already"):
        IndexWriter(index, {})
    with IndexWriter(tmp_path / "half", {}) as writer:
        writer.add("a", "a", [("image", flag("red"))])
    with pytest.raises(PartError, match=r"no such folder; write it with `modalink index build --out"):
        Index.open(str(tmp_path / "half"))
    with IndexWriter(tmp_path / "empty", {}) as writer, pytest.raises(DataError, match="found nothing to put into"):
        writer.close()


def written(folder, colours, kill_after=None, source="flags"):
    """Write an index of flags, a mark behind each; or stop between the add and the mark of one of them."""
    with IndexWriter(folder, {"kind": "encoder"}, {"source": source}) as writer:
        done = writer.mark.taken
        for number, colour in enumerate(colours[done:], done):
            writer.add(colour, f"a {colour} flag", [("image", flag(colour))], Shades()([flag(colour)], "max"))
            if number == kill_after:
                return done, None
            writer.done(number + 1, f"{number}", [f"bad {number}"])
        return done, writer.close()


def test_a_writer_that_was_killed_is_resumed_and_writes_what_an_unbroken_one_does(tmp_path):
    _, whole = written(tmp_path / "whole", COLOURS)
    assert written(tmp_path / "killed", COLOURS, kill_after=1) == (0, None)
    beside = tmp_path / ".killed.unfinished"
    with (beside / "entries.jsonl").open("ab") as torn:
        torn.write(b'{"source": "to')
    with (beside / "progress.jsonl").open("ab") as torn:
        torn.write(b'{"taken": 9, "ent')
    done, resumed = written(tmp_path / "killed", COLOURS)
    assert done == 1 and not beside.exists()
    assert resumed.sha256 == whole.sha256
    assert sorted(path.name for path in resumed.folder.iterdir()) == sorted(
        path.name for path in whole.folder.iterdir()
    )
    assert {path.name for path in resumed.folder.iterdir()} == {
        "entries.jsonl",
        "index.json",
        "media",
        "vectors.safetensors",
    }
    with IndexWriter(tmp_path / "other", {}) as writer:
        assert writer.left_out == []


@pytest.mark.parametrize(
    ("source", "damage"),
    [
        ("other", lambda beside: None),
        ("flags", lambda beside: (beside / "progress.jsonl").write_text("{}")),
        ("flags", lambda beside: (beside / "vectors").write_bytes(b"")),
        ("flags", lambda beside: (beside / "entries.jsonl").unlink()),
    ],
)
def test_what_is_of_another_source_or_damaged_is_begun_anew(tmp_path, source, damage):
    written(tmp_path / "index", COLOURS, kill_after=2)
    damage(tmp_path / ".index.unfinished")
    done, index = written(tmp_path / "index", COLOURS, source=source)
    assert done == 0 and len(index) == 3 and index.vectors[0].shape == (3, 3)


def test_two_writers_of_one_index_do_not_meet(tmp_path):
    with IndexWriter(tmp_path / "index", {}), pytest.raises(DataError, match="another process is writing it"):
        IndexWriter(tmp_path / "index", {})


def test_vectors_of_two_widths_are_refused(tmp_path):
    with IndexWriter(tmp_path / "index", {}) as writer:
        writer.add("a", "a", [], torch.ones(1, 3))
        with pytest.raises(PartError, match="found a vector of 4 numbers, needed 3 as before"):
            writer.add("b", "b", [], torch.ones(1, 4))


def _entries(index, change):
    lines = [json.loads(line) for line in (index / "entries.jsonl").read_text().splitlines()]
    change(lines)
    (index / "entries.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _head(index, **changes):
    head = json.loads((index / "index.json").read_text())
    (index / "index.json").write_text(json.dumps(head | changes))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda index: (index / "index.json").unlink(), "index.json"),
        (lambda index: (index / "index.json").write_text("{"), "is no JSON"),
        (lambda index: _head(index, format=7), "found an index of format 7, needed 1"),
        (lambda index: _head(index, entries="three"), "found 'three' under 'entries'"),
        (lambda index: _head(index, files={"../a": "b"}), "needed the name of a file in it"),
        (lambda index: _entries(index, lambda lines: lines[0].update(text="other")), "is not the file that index.json"),
        (lambda index: (index / "vectors.safetensors").write_bytes(b"no"), "is not the file that index.json"),
        (lambda index: (index / "entries.jsonl").unlink(), "is not the file that index.json"),
    ],
)
def test_a_damaged_one_is_named_with_what_to_do(index, damage, message):
    damage(index)
    with pytest.raises(PartError, match="(?s)" + message) as caught:
        Index.open(str(index))
    assert str(index) in str(caught.value)


def test_no_file_outside_is_opened_because_an_entry_says_so(index, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"")
    _entries(index, lambda lines: lines[0]["media"][0].update(file="../secret.png"))
    _head(index, files={name: files.sha256(index / name) for name in ("entries.jsonl", "vectors.safetensors")})
    with pytest.raises(PartError, match="needed the name of a file in it"):
        Index.open(str(index)).found(0, 1.0)

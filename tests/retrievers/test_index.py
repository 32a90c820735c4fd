"""An index is whole or refused, holds its media, and is written at once or not at all."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from modalink import files
from modalink.errors import DataError, PartError
from modalink.retrievers._index import Index, IndexWriter
from tests.retrievers.conftest import COLOURS, TEXTS, flag


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
    writer = IndexWriter(tmp_path / "twice")
    for name in "ab":
        writer.add(name, name, [("image", flag("red"))])
    assert len(writer.close({"kind": "words"})) == 2
    assert len(list((tmp_path / "twice" / "media").iterdir())) == 1


def test_what_is_there_is_not_overwritten_and_an_unfinished_one_is_no_index(index, tmp_path):
    with pytest.raises(DataError, match="there is something already"):
        IndexWriter(index)
    writer = IndexWriter(tmp_path / "half")
    writer.add("a", "a", [("image", flag("red"))])
    with pytest.raises(PartError, match=r"no such folder; write it with `modalink index build --out"):
        Index.open(str(tmp_path / "half"))
    with pytest.raises(DataError, match="found nothing to put into the index"):
        IndexWriter(tmp_path / "empty").close({})


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

"""Helpers of the data tests: files written by the tests, real photos, and a stand-in for the processor."""

import json
from pathlib import Path

import pytest
import skimage.data
from sklearn.datasets import load_sample_images

from modalink import modalities
from modalink.conversation import Text
from modalink.model.prepared import IGNORED, Prepared
from modalink.runs.ledger import Ledger

PHOTOS = Path(skimage.data.__file__).parent


@pytest.fixture
def write_lines(tmp_path):
    """Writes records as JSON lines; a string is written as it stands."""

    def write(name, records):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
        path.write_text("\n".join(lines) + "\n", "utf-8")
        return path

    return write


@pytest.fixture
def photos(tmp_path):
    """A folder of real photos: three of scikit-image's, two of scikit-learn's."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("astronaut.png", "coffee.png", "rocket.jpg"):
        (folder / name).write_bytes((PHOTOS / name).read_bytes())
    for path in load_sample_images().filenames:
        (folder / Path(path).name).write_bytes(Path(path).read_bytes())
    return folder


@pytest.fixture
def prepare():
    """Reads every medium, makes one token of each sign, and lets the assistant's text carry loss."""

    def prepare(conversation, *, template=None):
        ids, labels = [], []
        for turn in conversation.turns:
            for piece in turn.content:
                if isinstance(piece, Text):
                    signs = [ord(sign) for sign in piece.text]
                    ids += signs
                    labels += signs if turn.role == "assistant" else [IGNORED] * len(signs)
                else:
                    modalities.get(piece.modality).read(piece.source)
        return Prepared(conversation.id, ids, labels)

    return prepare


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "run" / "ledger.jsonl")


@pytest.fixture
def ledgers(tmp_path):
    """One for each of three processes."""
    return [Ledger(tmp_path / f"{rank}.jsonl") for rank in range(3)]

"""Indexes of three pictures, found by numbers that tests can compute."""

import pytest
import torch
from PIL import Image

from modalink import modalities
from modalink.retrievers._index_writer import IndexWriter

COLOURS = ("red", "green", "blue")
TEXTS = ("A red flag over a house.", "A green flag.", "The blue sea, and the red house by the sea.")


class Shades:
    """Stands for an encoder: the mean colour of a picture is its vector."""

    sha256 = "shades"

    def __call__(self, media, pool):
        means = [torch.tensor(list(handle.read().resize((1, 1)).getpixel((0, 0)))).float() for handle in media]
        return torch.nn.functional.normalize(torch.stack(means), dim=-1)


def flag(colour):
    """An opened picture of one colour."""
    return modalities.get("image").open(Image.new("RGB", (8, 6), colour))


@pytest.fixture
def index(tmp_path):
    """The folder of an index of a red, a green and a blue picture."""
    made = {"kind": "encoder", "modality": "image", "pool": "max", "encoder": Shades.sha256}
    writer = IndexWriter(tmp_path / "index", made)
    for colour, text in zip(COLOURS, TEXTS, strict=True):
        writer.add(f"{colour} row", text, [("image", flag(colour))], Shades()([flag(colour)], "max"))
    writer.close()
    return tmp_path / "index"

"""A released checkpoint twice: by the classes of transformers, and imported."""

import pytest
import torch
from PIL import Image

from modalink.testing.released_pair import ReleasedPair


@pytest.fixture
def pair():
    """Makes the pair of a folder."""
    return ReleasedPair.of


@pytest.fixture
def pictures() -> list[Image.Image]:
    """Three pictures of different shapes."""
    torch.manual_seed(0)
    return [
        Image.fromarray(torch.randint(0, 256, (height, width, 3), dtype=torch.uint8).numpy())
        for height, width in ((28, 28), (40, 60), (70, 33))
    ]

import numpy as np
import torch
from PIL import Image

from modalink.generators._images import TargetPreprocessor, to_images


def test_the_middle_square_is_kept() -> None:
    """Left quarter red, middle half green, right quarter blue: only green is left."""
    image = Image.new("RGB", (64, 32), (0, 255, 0))
    image.paste((255, 0, 0), (0, 0, 16, 32))
    image.paste((0, 0, 255), (48, 0, 64, 32))
    (values,) = TargetPreprocessor(32)(image)
    assert values.shape == (3, 32, 32)
    assert torch.equal(values[1], torch.ones(32, 32)) and torch.equal(values[0], -torch.ones(32, 32))


def test_colours_survive_the_way_back() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    (back,) = to_images(TargetPreprocessor(16)(Image.fromarray(pixels)))
    assert np.array_equal(np.asarray(back), pixels)


def test_values_beyond_the_range_are_cut() -> None:
    (image,) = to_images(torch.tensor([-3.0, 0.0, 3.0]).view(1, 3, 1, 1))
    assert image.getpixel((0, 0)) == (0, 128, 255)

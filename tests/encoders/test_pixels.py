"""Pictures on their way to an encoder with gradients: the numbers of the preprocessor that has none."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil, SiglipImageProcessorPil

from modalink.encoders._images import ImagePreprocessor
from modalink.errors import PartError

SQUARE = {"height": 32, "width": 32}


def clip(**changes: Any) -> ImagePreprocessor:
    return ImagePreprocessor(CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=SQUARE, **changes))


def smooth(width: int, height: int) -> Image.Image:
    x, y = np.meshgrid(np.linspace(0, 6, width), np.linspace(0, 4, height))
    waves = np.stack([np.sin(x), np.cos(y), np.sin(x + y)], -1)
    return Image.fromarray(np.uint8(127 + 120 * waves))


def pixels(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image, np.float32) / 255).permute(2, 0, 1)[None]


@pytest.mark.parametrize("size", [(32, 32), (40, 32), (64, 64), (50, 90), (20, 28)])
@pytest.mark.parametrize(
    "preprocessor",
    [
        clip(),
        ImagePreprocessor(SiglipImageProcessorPil(size=SQUARE)),
        ImagePreprocessor(SiglipImageProcessorPil(size=SQUARE), pad_to_square=True),
        clip(do_normalize=False),
    ],
)
def test_they_are_read_as_files_are(preprocessor: ImagePreprocessor, size: tuple[int, int]) -> None:
    """Where nothing is scaled exactly so; else but for how Pillow rounds twice on its way, 2 of 255."""
    image = smooth(*size)
    found, expected = preprocessor.of_pixels(pixels(image)), preprocessor(image)[None]
    std = min(getattr(preprocessor.processor, "image_std", [1.0])) if preprocessor.processor.do_normalize else 1.0
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= (1e-5 if size == (32, 32) else 2.5 / 255 / std)


def test_gradients_go_straight_through_the_rounding() -> None:
    given = pixels(smooth(48, 48)).requires_grad_()
    clip(do_normalize=False).of_pixels(given).sum().backward()
    # Each pixel of a result of 32 x 32 is a mean of those of 48 x 48: together they count 32² / 48².
    assert given.grad is not None
    assert given.grad.sum().item() == pytest.approx(3 * 32 * 32, rel=1e-3)


def test_scaling_without_gradients_is_refused() -> None:
    with pytest.raises(PartError, match="found the resampling 0, needed bilinear or bicubic"):
        clip(resample=0).of_pixels(pixels(smooth(48, 48)))

"""What preprocessors say that is seen of a picture is what is seen: colours of their units tell where they come from."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BitImageProcessorPil, CLIPImageProcessorPil, SiglipImageProcessorPil

from modalink.encoders._clips import PicturePreprocessor
from modalink.encoders._frequencies import FrequencyPreprocessor
from modalink.encoders._images import ImagePreprocessor
from modalink.encoders._sampling import FramesPreprocessor, FramesSpec
from modalink.encoders._tiling import TilesPreprocessor, TilesSpec
from modalink.encoders.several import SeveralPreprocessors
from modalink.roles import SquarePreprocessor

SIZES = [(200, 100), (100, 333), (64, 64), (301, 97), (40, 50)]
SIDE = 48
CLIP = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
WIDE = CLIPImageProcessorPil(size={"shortest_edge": 30}, crop_size={"height": SIDE, "width": SIDE})
BIT = BitImageProcessorPil(size={"shortest_edge": 60}, crop_size={"height": SIDE, "width": SIDE})
SIGLIP = SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE})
KINDS: dict[str, SquarePreprocessor] = {
    "cropped": ImagePreprocessor(CLIP),
    "cropped more": ImagePreprocessor(BIT),
    "cropped with a rim": ImagePreprocessor(WIDE),
    "padded": ImagePreprocessor(CLIP, pad_to_square=True),
    "padded and cropped": ImagePreprocessor(BIT, pad_to_square=True),
    "stretched": ImagePreprocessor(SIGLIP),
    "padded, then stretched": ImagePreprocessor(SIGLIP, pad_to_square=True),
    "at its own size": ImagePreprocessor(CLIPImageProcessorPil(do_resize=False, crop_size={"height": SIDE, "width": SIDE})),
    "imagebind": PicturePreprocessor(SIDE),
}  # fmt: skip


def told(preprocess: Any, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Where in the picture the columns and rows of its unit come from, in pixels, as its colours tell."""
    rows, columns = np.mgrid[: size[1], : size[0]]
    ramp = [(columns + 0.5) * 255 / size[0], (rows + 0.5) * 255 / size[1], np.full(columns.shape, 255)]
    (unit,) = preprocess(Image.fromarray(np.stack(ramp, axis=2).round().astype(np.uint8)))
    (black,), (white,) = (preprocess(Image.new("RGB", size, colour)) for colour in ("black", "white"))
    inside = (white - black)[2] > (white - black)[2].max() * 0.999
    shares = torch.where(inside, (unit - black) / (white - black), torch.nan)
    return np.nanmedian(shares[0], axis=0) * size[0], np.nanmedian(shares[1], axis=1) * size[1]


@pytest.mark.filterwarnings("ignore:All-NaN slice")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_colours_lie_where_the_window_says(kind: str, size: tuple[int, int]) -> None:
    window = KINDS[kind].window_of(size)
    for axis, found in enumerate(told(KINDS[kind], size)):
        low, high, length = window[axis], window[axis + 2], size[axis]
        pixel = (high - low) / SIDE
        expected = low + (np.arange(SIDE) + 0.5) * pixel
        # Filters smear colours at the edges of the picture.
        clear = (expected > 3 * max(pixel, 1)) & (expected < length - 3 * max(pixel, 1)) & np.isfinite(found)
        assert clear.sum() >= 8
        assert abs((found - expected)[clear].mean()) < 0.3 * pixel + 0.002 * length
        assert not np.isfinite(found[(expected < -3 * pixel) | (expected > length + 3 * pixel)]).any()


def tiles(thumbnail: str, fit: str = "pad", keeps_size: bool = False) -> TilesPreprocessor:
    spec = TilesSpec.model_validate({"grids": [(1, 2)], "thumbnail": thumbnail, "fit": fit})
    return TilesPreprocessor(spec, KINDS["cropped"], KINDS["cropped"], keeps_size)


@pytest.mark.parametrize(
    ("preprocess", "window"),
    [
        (FrequencyPreprocessor(32), (0, 0, 100, 100)),
        (tiles("none"), (-50, 0, 150, 100)),  # black on both sides of two tiles
        (tiles("none", keeps_size=True), (0, 0, 100, 100)),  # left out later
        (tiles("first"), (0, 0, 100, 100)),  # the thumbnail shows all
        (tiles("none", "stretch"), (0, 0, 100, 100)),
        (FramesPreprocessor(FramesSpec(), tiles("none")), (-50, 0, 150, 100)),
        (SeveralPreprocessors([tiles("none"), tiles("first")]), (-50, 0, 150, 100)),
    ],
)
def test_a_square_picture_through_others(preprocess: Any, window: tuple[float, ...]) -> None:
    assert preprocess.window_of((100, 100)) == window


def test_grey_beside_a_picture_is_in_the_window_of_frequencies() -> None:
    assert FrequencyPreprocessor(32).window_of((200, 100)) == (0, -50, 200, 150)
    assert FrequencyPreprocessor(32).window_of((100, 200)) == (-50, 0, 150, 200)

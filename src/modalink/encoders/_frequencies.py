"""Images as JPEG sees them: cosine coefficients of blocks of 8 x 8 pixels, as channels of a map an eighth as large.

Source: DocPedia (arXiv 2311.11810, section 3.2). Its Y has full resolution, Cb and Cr half of it; both are brought back
to the map of Y bilinearly, which makes 3 x 64 channels. Nothing is quantised.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from scipy import fft
from torch import Tensor
from torch.nn import functional

from modalink.roles import SquarePreprocessor, Window

BLOCK = 8
"""Side of a block in pixels."""
CHANNELS = 3 * BLOCK**2
_GREY = 128
"""What is 0 in frequencies: the middle of 8 bits, and what fills a picture to a square."""
_TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
"""JFIF: rows make Y, Cb and Cr, centred at 0, of red, green and blue."""
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
"""The inverse: rows make red, green and blue."""


class FrequencyPreprocessor(SquarePreprocessor):
    """Scales an image to fit a square, fills that with grey, and makes its cosine coefficients.

    Args:
        side: Side of the square in pixels, a multiple of 16.
    """

    def __init__(self, side: int) -> None:
        self.side = side

    def __call__(self, medium: Image.Image) -> Float[Tensor, "1 192 rows columns"]:
        """The image as one unit, float32: coefficients of Y, Cb and Cr, of vertical frequency 0, 1, ... and of
        horizontal frequency within it; a picture of one grey is 8 times its grey (-1 to 1) in channel 0."""
        image = medium.convert("RGB")
        size = self._fitted(image.size)
        square = Image.new("RGB", (self.side, self.side), (_GREY,) * 3)
        square.paste(image.resize(size, self.resample), ((self.side - size[0]) // 2, (self.side - size[1]) // 2))
        return frequencies(np.asarray(square))[None]

    def window_of(self, size: tuple[int, int]) -> Window:
        """The picture with the grey beside it."""
        (left, right), (top, bottom) = (
            (-((self.side - px) // 2) * length / px, (self.side - (self.side - px) // 2) * length / px)
            for px, length in zip(self._fitted(size), size, strict=True)
        )
        return left, top, right, bottom

    def _fitted(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height of a picture scaled to fit the square."""
        scale = self.side / max(size)
        return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))

    def to_dict(self) -> dict[str, Any]:
        """All that decides the result."""
        return {"side": self.side, "input": "frequency"}


def frequencies(pixels: np.ndarray) -> Float[Tensor, "192 rows columns"]:
    """Cosine coefficients of an image.

    Args:
        pixels: uint8 `[h w 3]`; both sides are multiples of 16.
    """
    ycc = np.moveaxis((pixels.astype(np.float64) - _GREY) / _GREY @ _TO_YCC.T, 2, 0)
    luma = _blocks(ycc[:1])
    halved = ycc[1:].reshape(2, ycc.shape[1] // 2, 2, ycc.shape[2] // 2, 2).mean((2, 4))
    chroma = functional.interpolate(_blocks(halved), scale_factor=2.0, mode="bilinear")
    return torch.cat([luma, chroma]).flatten(0, 1)


def _blocks(planes: np.ndarray) -> Float[Tensor, "planes 64 rows columns"]:
    count, height, width = planes.shape
    blocks = planes.reshape(count, height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    coefficients = fft.dctn(blocks, axes=(2, 4), norm="ortho").transpose(0, 2, 4, 1, 3)
    return torch.from_numpy(coefficients.reshape(count, BLOCK**2, height // BLOCK, width // BLOCK)).float()


def spectral_stem(
    weight: Float[Tensor, "d 3 p p"], bias: Float[Tensor, " d"], mean: list[float], std: list[float]
) -> tuple[Float[Tensor, "d 192 1 1"], Float[Tensor, " d"]]:
    """A patch embedding for frequencies that sees what another sees of the picture, scaled so that a block is a patch.

    Of Y it sees all, of Cb and Cr their means in a block.

    Args:
        weight: Kernel of the patch embedding of pixels.
        bias: Its bias.
        mean: What is subtracted of red, green and blue (0 to 1) before it.
        std: What they are divided by then.
    """
    kernel = weight.double() / torch.tensor(std).double()[:, None, None]
    units = np.eye(BLOCK**2).reshape(-1, BLOCK, BLOCK)
    waves = torch.from_numpy(fft.idctn(units, axes=(1, 2), norm="ortho")) * _GREY / 255
    patches = functional.interpolate(waves[:, None], size=weight.shape[2:], mode="area")[:, 0]
    of_luma = torch.einsum("dcij,kij->dk", kernel, patches)
    means = torch.einsum("dcij,cm->md", kernel, torch.tensor(TO_RGB).double()) * waves[0, 0, 0]
    of_chroma = torch.zeros(2, *of_luma.shape).double()
    of_chroma[:, :, 0] = means[1:]
    shift = torch.einsum("dcij,c->d", kernel, _GREY / 255 - torch.tensor(mean).double())
    joined = torch.cat([of_luma, *of_chroma], dim=1)[:, :, None, None]
    return joined.to(weight.dtype), (bias.double() + shift).to(bias.dtype)

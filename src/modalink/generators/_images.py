"""Images as a latent image generator sees them: squares with values in [-1, 1], both ways."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps
from torch import Tensor

from modalink.roles import Preprocessor


class TargetPreprocessor(Preprocessor):
    """Scales the short side to `side` pixels, cuts the middle square, and maps colours to [-1, 1]."""

    def __init__(self, side: int) -> None:
        self.side = side

    def __call__(self, medium: Image.Image) -> Float[Tensor, "1 3 side side"]:
        """The image as one unit, float32 [1 c h w] in [-1, 1]."""
        square = ImageOps.fit(medium.convert("RGB"), (self.side, self.side), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(square, dtype=np.float32))
        return pixels.permute(2, 0, 1).contiguous()[None] / 127.5 - 1

    def to_dict(self) -> dict[str, Any]:
        """All that decides the result, as JSON data."""
        return {"side": self.side, "fit": "centre", "resample": "bicubic", "range": [-1, 1]}


def to_pixels(values: Float[Tensor, "i 3 h w"]) -> UInt8[np.ndarray, "i h w 3"]:
    """Colours from values in [-1, 1]; what lies beyond is cut."""
    pixels = _unit(values).mul(255).round().to(torch.uint8)
    found: UInt8[np.ndarray, "i h w 3"] = pixels.permute(0, 2, 3, 1).cpu().numpy()
    return found


def seen(values: Float[Tensor, "i 3 h w"]) -> Float[Tensor, "i 3 h w"]:
    """The same colours from 0 to 1, with gradients: none where they are cut, and straight through the rounding."""
    exact = _unit(values)
    return exact + (exact.mul(255).round() / 255 - exact).detach()


def _unit(values: Float[Tensor, "i 3 h w"]) -> Float[Tensor, "i 3 h w"]:
    return (values.float() / 2 + 0.5).clamp(0, 1)


def to_images(values: Float[Tensor, "i 3 h w"]) -> list[Image.Image]:
    """Images from values in [-1, 1]; what lies beyond is cut."""
    return [Image.fromarray(image) for image in to_pixels(values)]

"""Depth maps, thermal pictures and inertial series as ImageBind's towers read them.

The original publishes no preprocessing of these. Depth goes as Omnivore's does (facebookresearch/omnivore), with which
the tower shares its data: disparity, at most 75 pixels. Thermal pictures are grey, from 0 to 1. A series is laid over
the 2,000 steps of the tower.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from PIL import Image
from torch import Tensor

from modalink.encoders._clips import squared
from modalink.errors import MediumError
from modalink.modalities import image
from modalink.roles import Preprocessor

_TIMES = 8
"""SUN RGB-D's files hold eight times the millimetres; the tower learned of them as if they held millimetres."""
_NEAREST, _FARTHEST = 0.01, 50.0
_MOST_PX = 75.0
_MEAN, _STD = 0.0418, 0.0295


class DepthPreprocessor(Preprocessor):
    """The middle square of a depth map `[h w]` in metres; what is 0 or not finite is far away.

    Args:
        side: Its side in pixels.
        disparity: Disparity in pixels of what is one metre away.
    """

    def __init__(self, side: int, disparity: float) -> None:
        self.side, self.disparity = side, disparity

    def __call__(self, medium: Any) -> Float[Tensor, "1 1 side side"]:
        """The map as one unit, float32, normalised.

        Raises:
            MediumError: It is no map.
        """
        metres = _numbers(medium, "depth")
        if metres.ndim != 2 or not metres.size:
            raise MediumError("depth", "not_a_depth", f"found the shape {metres.shape}, needed [h w], in metres")
        known = np.where(np.isfinite(metres) & (metres > 0), _TIMES * metres, _FARTHEST).clip(_NEAREST, _FARTHEST)
        shares = (self.disparity / known).clip(max=_MOST_PX) / _MOST_PX
        square = squared(Image.fromarray(shares.astype(np.float32)), self.side)
        return (torch.from_numpy(np.array(square))[None, None] - _MEAN) / _STD

    def to_dict(self) -> dict[str, Any]:
        """All that decides the result, as JSON data."""
        return {
            "side": self.side,
            "disparity": self.disparity,
            "times": _TIMES,
            "most": _MOST_PX,
            "mean": _MEAN,
            "std": _STD,
        }


class ThermalPreprocessor(Preprocessor):
    """The middle square of a thermal picture, in grey.

    Args:
        side: Its side in pixels.
    """

    def __init__(self, side: int) -> None:
        self.side = side

    def __call__(self, medium: Any) -> Float[Tensor, "1 1 side side"]:
        """The picture, an image or an array of one, as one unit, float32 from 0 to 1."""
        square = squared(image.read(medium).convert("L"), self.side)
        return torch.from_numpy(np.array(square, dtype=np.float32))[None, None] / 255

    def to_dict(self) -> dict[str, Any]:
        """All that decides the result, as JSON data."""
        return {"side": self.side}


class SeriesPreprocessor(Preprocessor):
    """Series that are measured together, `[n series]`, laid over a number of steps from the first to the last.

    Args:
        series: How many there are.
        steps: Steps of the result.
    """

    def __init__(self, series: int, steps: int) -> None:
        self.series, self.steps = series, steps

    def __call__(self, medium: Any) -> Float[Tensor, "1 series steps"]:
        """The series as one unit, float32.

        Raises:
            MediumError: They are not as many, or not finite.
        """
        values = _numbers(medium, "series")
        if values.ndim != 2 or values.shape[1] != self.series or not len(values) or not np.isfinite(values).all():
            detail = f"found numbers of the shape {values.shape}, needed [n {self.series}], finite ones"
            raise MediumError("series", "not_a_series", detail)
        places = np.linspace(0, len(values) - 1, self.steps)
        laid = [np.interp(places, np.arange(len(values)), column) for column in values.T]
        return torch.from_numpy(np.stack(laid).astype(np.float32))[None]

    def to_dict(self) -> dict[str, Any]:
        """All that decides the result, as JSON data."""
        return {"series": self.series, "steps": self.steps}


def _numbers(medium: Any, what: str) -> Shaped[np.ndarray, "..."]:
    values = np.asarray(medium)
    if values.dtype.kind not in "uif":
        raise MediumError(what, "unsupported", f"found a {type(medium).__name__}, needed an array of numbers")
    return values.astype(np.float64)

"""Point clouds and meshes to encoder input: as many points as fit, by default within a ball of radius one."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from modalink.modalities.points import PointsHandle, open_points
from modalink.ragged import Layout
from modalink.roles import Preprocessor


class PointsPreprocessor(Preprocessor):
    """The points of a cloud, or points of a mesh's surface, the same ones every time; a unit each.

    Args:
        count: How many points are taken of a mesh, and at most of a cloud.
        colors: Whether units hold red, green and blue, from 0 to 1, behind x, y and z.
        missing_color: Red, green and blue of points whose colour is not known.
        in_unit_ball: Whether they are moved and scaled into the ball of radius one; else they stay where they are.
    """

    def __init__(self, count: int, *, colors: bool, missing_color: float, in_unit_ball: bool = True) -> None:
        self.count, self.colors, self.missing_color = count, colors, missing_color
        self.in_unit_ball = in_unit_ball

    def layout(self, medium: Any) -> Layout:
        """A unit for each point, all in one block."""
        opened: PointsHandle = open_points(medium)
        units = self.count if opened.num_faces else min(self.count, opened.num_points)
        return Layout(units, (units,))

    def __call__(self, medium: Any) -> Float[Tensor, "u c"]:
        """The points of one medium, float32."""
        points, colors = open_points(medium).read().drawn(self.count)
        columns = [_in_unit_ball(points) if self.in_unit_ball else points]
        if self.colors:
            columns.append(np.full(points.shape, self.missing_color) if colors is None else colors)
        return torch.from_numpy(np.hstack(columns).astype(np.float32))

    def units(self, handle: Any) -> Float[Tensor, "u c"]:
        """The points of an opened medium."""
        return self(handle)

    def to_dict(self) -> dict[str, Any]:
        """All that decides the result, as JSON data."""
        said = {"count": self.count, "colors": self.colors, "missing_color": self.missing_color}
        return said | {"in_unit_ball": self.in_unit_ball}


def _in_unit_ball(points: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 3"]:
    """Moved and scaled so that their mean is zero and the farthest one at distance one."""
    # Scaled first, so that no square of a coordinate is too large or too small for a float.
    centred = points - points.mean(axis=0)
    centred = centred / np.abs(centred).max()
    centred = centred - centred.mean(axis=0)
    return centred / np.linalg.norm(centred, axis=1).max()

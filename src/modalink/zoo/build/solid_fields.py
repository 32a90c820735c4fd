"""Distances to the surfaces of the tiny world's solids, positive inside, from which a network learns their shapes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from modalink.tiny_world.rendering import RGB
from modalink.tiny_world.solids.bodies import POSES, SOLIDS, Bodies, Solid
from modalink.tiny_world.solids.sculpting import PLACE as MIDDLES
from modalink.tiny_world.solids.sculpting import RADIUS, TILT

NUMBERS = len(SOLIDS) + 3 + 3 + 2
"""How many numbers say all of one place of a cloud: its solid, colour, middle, size and turn."""


@dataclass(frozen=True)
class Placed:
    """A solid with all that a cloud leaves to chance."""

    solid: Solid
    radius: float
    angle: float
    middle: tuple[float, float]

    @classmethod
    def exact(cls, solid: Solid) -> "Placed":
        """A solid as it is on average."""
        angle = TILT if solid.pose == POSES[1] else 0.0
        return cls(solid, RADIUS[solid.size], angle, (MIDDLES[solid.place], 0.0))

    @classmethod
    def draw(cls, solid: Solid, rng: np.random.Generator) -> "Placed":
        """One of the ways in which the world may sculpt a solid."""
        usual = cls.exact(solid)
        middle = usual.middle[0] + rng.uniform(-0.04, 0.04), rng.uniform(-0.06, 0.06)
        return cls(solid, usual.radius * rng.uniform(0.94, 1.06), usual.angle + rng.normal(0, 0.04), middle)

    def numbers(self) -> list[float]:
        """What says it."""
        kind = [float(self.solid.solid == name) for name in SOLIDS]
        shade = [channel / 255 for channel in RGB[self.solid.colour]]
        return [*kind, *shade, *self.middle, self.radius, np.sin(self.angle), np.cos(self.angle)]

    def distances(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """How deep points lie inside it."""
        x, y = points[:, 0] - self.middle[0], points[:, 1] - self.middle[1]
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        own = np.stack([x * cos + y * sin, y * cos - x * sin, points[:, 2]], axis=1) / self.radius
        return _INSIDE[self.solid.solid](own) * self.radius


def place_all(bodies: Bodies, rng: np.random.Generator) -> list[Placed]:
    """Each solid of a cloud, placed at random."""
    return [Placed.draw(solid, rng) for solid in bodies.solids]


def numbers(placed: list[Placed]) -> Float[Tensor, " k"]:
    """What says a whole cloud: the numbers of its one or two solids, from left to right."""
    rows = [one.numbers() for one in placed] + [[0.0] * NUMBERS] * (2 - len(placed))
    return torch.tensor(np.concatenate([*rows, [float(len(placed) == 2)]]), dtype=torch.float32)


def field(
    placed: list[Placed], points: Float[np.ndarray, "n 3"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n 3"]]:
    """How deep points lie inside any of the solids, and red, green and blue (0 to 1) of the nearest."""
    depths = np.stack([one.distances(points) for one in placed])
    shades = np.array([RGB[one.solid.colour] for one in placed]) / 255
    return depths.max(0), shades[depths.argmax(0)]


def _box(points: np.ndarray, half: tuple[float, float, float]) -> np.ndarray:
    outside = np.abs(points) - np.asarray(half)
    return -(np.linalg.norm(outside.clip(min=0), axis=1) + outside.max(1).clip(max=0))


def _cone(points: np.ndarray) -> np.ndarray:
    across, height = np.hypot(points[:, 0], points[:, 2]), points[:, 1]
    slant = (0.85 * (1.0 - height) - 1.8 * across) / np.hypot(0.85, 1.8)
    return np.minimum(slant, height + 0.8)


def _torus(points: np.ndarray) -> np.ndarray:
    return 0.26 - np.hypot(np.hypot(points[:, 0], points[:, 2]) - 0.72, points[:, 1])


def _crown(points: np.ndarray) -> np.ndarray:
    """A star's spikes are lines from a tip to the corner beside it; one sixth-and-mirrored part stands for all ten."""
    turn = np.abs((np.arctan2(points[:, 0], points[:, 1]) + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5)
    reach = np.hypot(points[:, 0], points[:, 1])
    across, up = reach * np.sin(turn), reach * np.cos(turn)
    tip, corner = np.array([0.0, 1.0]), 0.42 * np.array([np.sin(np.pi / 5), np.cos(np.pi / 5)])
    normal = np.array([tip[1] - corner[1], corner[0] - tip[0]]) / np.linalg.norm(corner - tip)
    return np.minimum(-(across - tip[0]) * normal[0] - (up - tip[1]) * normal[1], 0.25 - np.abs(points[:, 2]))


_BARS = ((0.95, 0.24, 0.24), (0.24, 0.95, 0.24), (0.24, 0.24, 0.95))
_INSIDE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sphere": lambda points: 1.0 - np.linalg.norm(points, axis=1),
    "cube": lambda points: _box(points, (0.72, 0.72, 0.72)),
    "cone": _cone,
    "jack": lambda points: np.max([_box(points, bar) for bar in _BARS], axis=0),
    "torus": _torus,
    "crown": _crown,
}  # fmt: skip

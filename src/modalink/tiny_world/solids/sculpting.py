"""Samples points on the surfaces of the tiny world's solids."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32

from modalink.tiny_world.rendering import RGB
from modalink.tiny_world.solids.bodies import Bodies, Solid

POINTS = 512
RADIUS = {"small": 0.26, "large": 0.45}
"""How far a solid reaches from its middle; the whole cloud fits the unit sphere."""
PLACE = {"center": 0.0, "left": -0.5, "right": 0.5}
TILT = np.pi / 5
_JITTER = 0.006


def sculpt(bodies: Bodies) -> Float32[np.ndarray, "512 6"]:
    """Sample a cloud: x to the right, y up, z towards the viewer; red, green and blue from 0 to 1.

    The same bodies always give the same points.
    """
    rng = np.random.default_rng(bodies.noise)
    counts = np.diff(np.linspace(0, POINTS, len(bodies.solids) + 1).astype(int))
    parts = [_body(body, int(count), rng) for body, count in zip(bodies.solids, counts, strict=True)]
    return np.concatenate(parts)[rng.permutation(POINTS)].astype(np.float32)


def _body(body: Solid, count: int, rng: np.random.Generator) -> np.ndarray:
    points = _SURFACES[body.solid](count, rng) * RADIUS[body.size] * rng.uniform(0.94, 1.06)
    angle = (TILT if body.pose == "tilted" else 0.0) + rng.normal(0, 0.04)
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = points[:, 0] * cos - points[:, 1] * sin, points[:, 0] * sin + points[:, 1] * cos
    x += PLACE[body.place] + rng.uniform(-0.04, 0.04)
    y += rng.uniform(-0.06, 0.06)
    place = np.stack([x, y, points[:, 2]], axis=1) + rng.normal(0, _JITTER, points.shape)
    shade = np.asarray(RGB[body.colour]) / 255 + rng.normal(0, 0.02, points.shape)
    return np.concatenate([place, shade.clip(0, 1)], axis=1)


def _sphere(count: int, rng: np.random.Generator) -> np.ndarray:
    points = rng.normal(size=(count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def _box(count: int, rng: np.random.Generator, half: tuple[float, float, float]) -> np.ndarray:
    sides = np.asarray(half)
    areas = np.array([sides[1] * sides[2], sides[0] * sides[2], sides[0] * sides[1]])
    axis = rng.choice(3, count, p=areas / areas.sum())
    points = rng.uniform(-1, 1, (count, 3)) * sides
    points[np.arange(count), axis] = np.where(rng.random(count) < 0.5, -1, 1) * sides[axis]
    return points


def _cube(count: int, rng: np.random.Generator) -> np.ndarray:
    return _box(count, rng, (0.72, 0.72, 0.72))


def _cone(count: int, rng: np.random.Generator) -> np.ndarray:
    """The apex is up; a third of the points lie on the base."""
    turn = rng.uniform(0, 2 * np.pi, count)
    radius = np.sqrt(rng.random(count))
    height = np.where(rng.random(count) < 1 / 3, -0.8, 1.0 - 1.8 * radius)
    return np.stack([0.85 * radius * np.cos(turn), height, 0.85 * radius * np.sin(turn)], axis=1)


def _jack(count: int, rng: np.random.Generator) -> np.ndarray:
    """Three bars that cross at right angles."""
    bars = [_box(count, rng, tuple(np.roll((0.95, 0.24, 0.24), axis))) for axis in range(3)]
    return np.stack(bars)[rng.integers(3, size=count), np.arange(count)]


def _torus(count: int, rng: np.random.Generator) -> np.ndarray:
    """It lies flat: its axis is up."""
    turn, tube = rng.uniform(0, 2 * np.pi, (2, count))
    radius = 0.72 + 0.26 * np.cos(tube)
    return np.stack([radius * np.cos(turn), 0.26 * np.sin(tube), radius * np.sin(turn)], axis=1)


def _crown(count: int, rng: np.random.Generator) -> np.ndarray:
    """A star of five spikes, seen from the front, 0.5 deep; half of the points on its faces, half on its rim."""
    corner = np.arange(11) * np.pi / 5
    reach = np.where(np.arange(11) % 2 == 0, 1.0, 0.42)
    outline = np.stack([reach * np.sin(corner), reach * np.cos(corner)], axis=1)
    edge, along = rng.integers(10, size=count), rng.random((count, 1))
    rim = outline[edge] + (outline[edge + 1] - outline[edge]) * along
    on_face = rng.random(count) < 0.5
    inward = np.where(on_face, np.sqrt(rng.random(count)), 1.0)[:, None]
    depth = np.where(on_face, np.where(rng.random(count) < 0.5, -0.25, 0.25), rng.uniform(-0.25, 0.25, count))
    return np.concatenate([rim * inward, depth[:, None]], axis=1)


_SURFACES: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "sphere": _sphere, "cube": _cube, "cone": _cone, "jack": _jack, "torus": _torus, "crown": _crown,
}  # fmt: skip

"""Points in space, perhaps coloured, perhaps corners of triangles: checked, and some drawn of them or the surface."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64, Shaped

from modalink.errors import MediumError

MAX_POINTS = MAX_FACES = 2**22
"""Most points, and most triangles, of one medium."""
_FARTHEST = 1e18
"""Larger coordinates are a broken file; their squares would not fit float32."""
_AT_ONCE = 2**18
"""Triangles whose areas are computed together."""
_UNIT = 0.02
"""How far the length of a normal may be from one."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points of a thing, as they were measured or as corners of its surface.

    Args:
        points: Where they lie.
        colors: Red, green and blue of each, from 0 to 1; None where nothing is known of them.
        faces: The three corners of each triangle, as places in `points`; None where there is no surface.
    """

    points: Shaped[np.ndarray, "n 3"]
    colors: Shaped[np.ndarray, "colored 3"] | None = None
    faces: Shaped[np.ndarray, "f 3"] | None = None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Shaped[np.ndarray, "n c"]:
        parts = [self.points] if self.colors is None else [self.points, self.colors]
        return np.hstack(parts).astype(np.float64 if dtype is None else dtype)

    @property
    def digest(self) -> str:
        """SHA-256 of all that it holds."""
        parts = [b"-" if part is None else repr(part.shape).encode() + part.tobytes() for part in self._parts]
        return hashlib.sha256(b"|".join(parts)).hexdigest()

    @property
    def _parts(self) -> tuple[Shaped[np.ndarray, "..."] | None, ...]:
        return self.points, self.colors, self.faces

    def drawn(self, count: int) -> tuple[Float64[np.ndarray, "m 3"], Float32[np.ndarray, "m 3"] | None]:
        """Points and their colours, the same ones for the same content: of a surface as many as are asked for, all of
        it being as likely; of points without one no more than there are, in their order."""
        rng = np.random.default_rng(int(self.digest[:16], 16))
        if self.faces is None:
            if len(self.points) <= count:
                return self.points, self.colors
            places = np.sort(rng.choice(len(self.points), count, replace=False))
            return self.points[places], None if self.colors is None else self.colors[places]
        reach = np.cumsum(np.concatenate([*areas(self.points, self.faces)]))
        corners = self.faces[np.searchsorted(reach, rng.random(count) * reach[-1], side="right")]
        shares = rng.random((count, 2))
        shares = np.where(shares.sum(1, keepdims=True) > 1, 1 - shares, shares)
        weights = np.column_stack([1 - shares.sum(1), shares])[:, :, None]
        colors = None if self.colors is None else (self.colors[corners] * weights).sum(1).astype(np.float32)
        return (self.points[corners] * weights).sum(1), colors


class Counts(NamedTuple):
    """How much a file says that it holds."""

    points: int
    faces: int


def check_counts(counts: Counts, label: str) -> None:
    """Refuse a medium of too many points or triangles, or of no points."""
    if counts.points < 1:
        raise MediumError(label, "empty", "holds no points, needed some; fetch or write it again")
    for found, most, what in ((counts.points, MAX_POINTS, "points"), (counts.faces, MAX_FACES, "triangles")):
        if found > most:
            raise MediumError(label, "too_large", f"has {found:,} {what}, at most {most:,} are read; make them fewer")


def areas(
    points: Float64[np.ndarray, "n 3"], faces: Int64[np.ndarray, "f 3"]
) -> Iterator[Float64[np.ndarray, " some"]]:
    """The areas of triangles, some at a time."""
    for start in range(0, len(faces), _AT_ONCE):
        corners = points[faces[start : start + _AT_ONCE]]
        yield np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2


def checked(cloud: Cloud, label: str) -> Cloud:
    """A cloud in the types that all others have, found to be one.

    Raises:
        MediumError: With the reason `empty`, `not_points`, `not_finite`, `out_of_range`, `damaged` or `degenerate`.
    """
    points = _array(cloud.points, np.float64, label, "points")
    check_counts(Counts(len(points), 0 if cloud.faces is None else len(cloud.faces)), label)
    _check_finite(points, label, "coordinates")
    if (farthest := np.abs(points).max()) > _FARTHEST:
        detail = (
            f"holds coordinates as large as {farthest:.3g}, needed at most {_FARTHEST:.0e}; scale or write it again"
        )
        raise MediumError(label, "out_of_range", detail)
    colors = None if cloud.colors is None else unit_range(_array(cloud.colors, np.float32, label, "colours"), label)
    if colors is not None and len(colors) != len(points):
        raise MediumError(
            label, "damaged", f"holds {len(points)} points and {len(colors)} colours, needed one for each"
        )
    faces = None
    if cloud.faces is not None and len(cloud.faces):
        faces = _checked_faces(_array(cloud.faces, np.int64, label, "triangles"), points, label)
    elif (np.ptp(points, axis=0) == 0).all():
        one = "holds one point" if len(points) == 1 else f"holds {len(points):,} points at one place"
        raise MediumError(label, "degenerate", f"{one}, needed some at different places: nothing can be seen in it")
    return Cloud(points, colors, faces)


def of_columns(rows: Shaped[np.ndarray, "..."], label: str) -> Cloud:
    """A cloud of rows of numbers: place, or place and colour, intensity (left out) or normal (left out), or all.

    Raises:
        MediumError: They are no such rows (`not_points`), or hold colours beyond all scales (`out_of_range`).
    """
    if rows.ndim != 2 or rows.shape[1] not in (3, 4, 6, 7, 9) or rows.dtype.kind not in "fiu":
        detail = (
            f"found an array of {rows.dtype} with the shape {rows.shape}, needed numbers [n 3], or [n 6] with colours"
        )
        raise MediumError(label, "not_points", detail)
    points, rest = rows[:, :3], rows[:, 3:]
    if rows.shape[1] in (4, 7):
        rest = rest[:, 1:]
    blocks = [rest[:, start : start + 3] for start in range(0, rest.shape[1], 3)]
    colored = [block for block in blocks if not _are_normals(block)]
    return Cloud(points, scaled(colored[0], label) if colored else None)


def places(columns: Mapping[str, Shaped[np.ndarray, " n"]], label: str) -> Float64[np.ndarray, "n 3"]:
    """The places of points whose x, y and z are columns of a table.

    Raises:
        MediumError: One of the three is not there.
    """
    if missing := [axis for axis in "xyz" if axis not in columns]:
        raise MediumError(label, "damaged", f"is damaged: its points have no {', '.join(missing)}; write it again")
    with np.errstate(all="ignore"):  # what is not finite is refused
        return np.column_stack([columns[axis].astype(np.float64) for axis in "xyz"])


def scaled(colors: Shaped[np.ndarray, "n 3"], label: str) -> Float32[np.ndarray, "n 3"]:
    """Colours from 0 to 1, whatever their scale is: that of their type, or, of floating point above 1, up to 255."""
    if colors.dtype.kind == "u" and colors.dtype.itemsize <= 2:
        return (colors / np.iinfo(colors.dtype).max).astype(np.float32)
    values = colors.astype(np.float64)
    _check_finite(values, label, "colours")
    if values.size and 1 < values.max() <= 255:
        values = values / 255
    return unit_range(values.astype(np.float32), label)


def unit_range(colors: Float32[np.ndarray, "n 3"], label: str) -> Float32[np.ndarray, "n 3"]:
    """The same colours.

    Raises:
        MediumError: They are not from 0 to 1.
    """
    _check_finite(colors, label, "colours")
    if colors.size and not (colors.min() >= 0 and colors.max() <= 1):
        found = f"holds colours from {colors.min():.4g} to {colors.max():.4g}"
        raise MediumError(
            label, "out_of_range", f"{found}, needed 0 to 1 or 0 to 255; write it again without, or with these"
        )
    return colors


def _are_normals(block: Shaped[np.ndarray, "n 3"]) -> bool:
    """Whether three columns are directions: all of length one, and some of them backwards, as no colour is."""
    values = block.astype(np.float64)
    return bool((values < 0).any() and (np.abs(np.linalg.norm(values, axis=1) - 1) < _UNIT).all())


def _array(values: Any, dtype: Any, label: str, what: str) -> Shaped[np.ndarray, "n 3"]:
    try:
        found = np.asarray(values)
    except ValueError as error:
        raise MediumError(label, "not_points", f"its {what} are no array: {error}") from error
    if found.ndim != 2 or found.shape[1] != 3 or found.dtype.kind not in ("iu" if dtype is np.int64 else "fiu"):
        detail = f"found {what} of {found.dtype} with the shape {found.shape}, needed numbers [n 3]"
        raise MediumError(label, "not_points", detail)
    with np.errstate(all="ignore"):  # what is not finite is refused
        return np.ascontiguousarray(found, dtype)


def _check_finite(values: Float[np.ndarray, "n c"], label: str, what: str) -> None:
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        detail = f"holds {what} that are NaN or infinite, of {bad.sum():,} of its {len(bad):,} points; take these out"
        raise MediumError(label, "not_finite", detail)


def _checked_faces(
    faces: Int64[np.ndarray, "f 3"], points: Float64[np.ndarray, "n 3"], label: str
) -> Int64[np.ndarray, "f 3"]:
    if faces.min() < 0 or faces.max() >= len(points):
        wrong = faces.max() if faces.max() >= len(points) else faces.min()
        detail = f"has a triangle with the corner {wrong:,}, needed one of its {len(points):,} points; write it again"
        raise MediumError(label, "damaged", detail)
    if not any((some > 0).any() for some in areas(points, faces)):
        raise MediumError(label, "degenerate", f"has {len(faces):,} triangles without any area, needed a surface")
    return faces

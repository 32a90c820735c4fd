"""Point clouds and meshes: opened from a path, bytes, data URL or arrays; checked, and read as points and triangles."""

import os
from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from modalink.errors import MediumError, MissingExtraError
from modalink.modalities import _arrays, _binary, _clouds, _gltf, _gltf_file, _ply, _previews, _text_shapes
from modalink.modalities._clouds import MAX_FACES, MAX_POINTS, Cloud, Counts
from modalink.roles import MediumHandle, ModalityRecord

__all__ = [
    "MAX_BYTES", "MAX_FACES", "MAX_POINTS", "RECORD", "Cloud", "PointsHandle", "open_points", "read", "views", "write",
]  # fmt: skip

MAX_BYTES = 2**28
"""Most bytes of one file."""

_SUFFIXES = (".ply", ".obj", ".stl", ".glb", ".gltf", ".off", ".npy", ".npz", ".xyz", ".pts", ".pcd")
_WRITTEN = (".glb", ".ply", ".npy")


class _Format(NamedTuple):
    """How a file of one format is told, counted and read."""

    name: str
    fits: Callable[[bytes], bool]
    counts: Callable[[bytes, str], Counts]
    cloud: Callable[[bytes, str], Cloud]


def _begins(mark: bytes) -> Callable[[bytes], bool]:
    return lambda content: content.lstrip()[: len(mark)] == mark


def _is_text_stl(content: bytes) -> bool:
    return content[:512].lstrip().lower().startswith(b"solid")


def _is_obj(content: bytes) -> bool:
    words = (line.split(None, 1)[:1] for line in content[:4096].replace(b"\r", b"\n").split(b"\n"))
    first = next((word[0] for word in words if word and not word[0].startswith(b"#")), b"")
    return first in (b"v", b"vn", b"vt", b"o", b"g", b"mtllib", b"usemtl", b"s")


_FORMATS = (
    _Format("PLY", _begins(_ply.MARK), _ply.counts, _ply.cloud),
    _Format("GLB", _begins(_gltf_file.MARK), _gltf.counts, _gltf.cloud),
    _Format("NPY", _begins(b"\x93NUMPY"), _arrays.npy_counts, _arrays.npy_cloud),
    _Format("NPZ", _begins(b"PK\x03\x04"), _arrays.npz_counts, _arrays.npz_cloud),
    _Format("STL", _text_shapes.is_binary_stl, _text_shapes.stl_counts, _text_shapes.stl_cloud),
    _Format("STL", _is_text_stl, _text_shapes.stl_counts, _text_shapes.stl_cloud),
    _Format("OFF", _text_shapes.is_off, _text_shapes.off_counts, _text_shapes.off_cloud),
    _Format("PCD", _arrays.is_pcd, _arrays.pcd_counts, _arrays.pcd_cloud),
    _Format("glTF", _begins(b"{"), _gltf.counts, _gltf.cloud),
    _Format("OBJ", _is_obj, _text_shapes.obj_counts, _text_shapes.obj_cloud),
    _Format("XYZ", _text_shapes.is_rows, _text_shapes.rows_counts, _text_shapes.rows_cloud),
)
"""The surer marks first."""


class PointsHandle(MediumHandle):
    """A point cloud or mesh, found and checked.

    Args:
        label: What errors call it.
        counts: How many points and triangles it has, as it says itself.
    """

    def __init__(self, label: str, counts: Counts) -> None:
        super().__init__(label)
        self.num_points, self.num_faces = counts

    @property
    def extent(self) -> str:
        """How much it holds, for people."""
        return f"{self.num_points:,} points" + (f", {self.num_faces:,} faces" if self.num_faces else "")

    @abstractmethod
    def read(self) -> Cloud:
        """All its points, their colours, and the triangles between them, as they are."""


class _StoredPoints(PointsHandle):
    def __init__(self, stored: _binary.Stored, suffix: str, max_points: int) -> None:
        self._stored, self._suffix = stored, suffix
        content = self._content()
        self._format = _format(content, stored.label, suffix)
        counts = self._format.counts(content, stored.label)
        _check(counts, stored.label, max_points)
        super().__init__(stored.label, counts)

    @property
    def digest(self) -> str:
        return self._stored.digest

    def read(self) -> Cloud:
        cloud = _clouds.checked(self._format.cloud(self._content(), self.label), self.label)
        if len(cloud.points) != self.num_points:
            detail = f"holds {len(cloud.points):,} points, but says {self.num_points:,}; fetch or write it again"
            raise MediumError(self.label, "damaged", detail)
        return cloud

    def _content(self) -> bytes:
        with self._stored.open() as file:
            return file.read()


class _GivenPoints(PointsHandle):
    def __init__(self, source: Cloud | np.ndarray, label: str, max_points: int) -> None:
        given = source if isinstance(source, Cloud) else _clouds.of_columns(source, label)
        _check(Counts(len(given.points), 0 if given.faces is None else len(given.faces)), label, max_points)
        self._cloud = _clouds.checked(given, label)
        faces = 0 if self._cloud.faces is None else len(self._cloud.faces)
        super().__init__(label, Counts(len(self._cloud.points), faces))

    @cached_property
    def digest(self) -> str:
        return self._cloud.digest

    def read(self) -> Cloud:
        return self._cloud


def open_points(
    source: Any, name: str | None = None, *, max_points: int = MAX_POINTS, max_bytes: int = MAX_BYTES
) -> PointsHandle:
    """Find and check one point cloud or mesh. Numbers are not read.

    Args:
        source: Path, bytes or data URL (base64) of a PLY, OBJ, STL, glTF, OFF, NumPy, PCD or text file; a `Cloud`; an
            array [n 3], or [n 6] with colours from 0 to 1 or to 255; or a handle.
        name: What errors call it; by default its path or form.
        max_points: More points, or more triangles, are refused by the header.
        max_bytes: Larger files are refused before they are opened.

    Raises:
        MediumError: With the reason `missing`, `unreadable`, `not_a_file`, `empty`, `not_points`, `damaged`,
            `truncated`, `too_large`, `outside`, `remote`, `bad_data_url` or `unsupported`; reading it, also with
            `not_finite`, `out_of_range`, `degenerate` or `changed`.
    """
    if isinstance(source, PointsHandle):
        return source
    label = _binary.label(source, "points", name)
    if isinstance(source, Cloud | np.ndarray):
        return _GivenPoints(source, label, max_points)
    if _binary.Stored.takes(source):
        suffix = Path(os.fsdecode(source)).suffix.lower() if isinstance(source, str | os.PathLike) else ""
        return _StoredPoints(_binary.Stored(source, label, max_bytes), suffix, max_points)
    found = type(source).__name__
    raise MediumError(label, "unsupported", f"found a {found}, needed a path, bytes, data URL, Cloud or array")


def read(source: Any, name: str | None = None, **limits: Any) -> Cloud:
    """Open and read one point cloud or mesh, see `open_points` and `PointsHandle.read`."""
    return open_points(source, name, **limits).read()


def write(cloud: Cloud, path: str | os.PathLike[str]) -> None:
    """Write points, or the mesh that they are, in the format that the path's suffix names: GLB, PLY or NPY.

    Raises:
        MediumError: The suffix names no such format, or one that holds no triangles, or the file cannot be written.
        MissingExtraError: trimesh is needed and not installed.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _WRITTEN:
        detail = f"found the suffix {suffix!r}, needed one of {', '.join(_WRITTEN)}"
        raise MediumError(str(path), "unsupported", detail)
    whole = read(cloud)
    if suffix == ".npy" and whole.faces is not None:
        raise MediumError(str(path), "unsupported", "an array holds no triangles; write .glb or .ply")
    try:
        if suffix == ".npy":
            np.save(path, np.asarray(whole))
        else:
            Path(path).write_bytes(_exported(whole, suffix[1:]))
    except OSError as error:
        raise MediumError(str(path), "unwritable", f"cannot be written: {error}") from error


def views(cloud: Cloud, count: int = 12, side: int = 224, points: int = 32_768) -> list[Image.Image]:
    """Pictures of points, or of a mesh's surface, from all around; always the same ones.

    Args:
        cloud: The points.
        count: How many pictures, at even angles around the axis that is up.
        side: Pixels of a side.
        points: Most points that are drawn.
    """
    return _previews.views(cloud, count, side, points)


def _exported(cloud: Cloud, format: str) -> bytes:
    try:
        import trimesh
    except ImportError as error:
        raise MissingExtraError("writing meshes", "trimesh", "points") from error
    colors = None if cloud.colors is None else np.round(cloud.colors * 255).astype(np.uint8)
    if cloud.faces is None:
        thing: Any = trimesh.PointCloud(cloud.points, colors=colors)
    else:
        thing = trimesh.Trimesh(cloud.points, cloud.faces, vertex_colors=colors, process=False)
    data: bytes = thing.export(file_type=format)
    return data


def _format(content: bytes, label: str, suffix: str) -> _Format:
    found = next((one for one in _FORMATS if one.fits(content)), None)
    if found is not None:
        return found
    if suffix == ".stl":
        _text_shapes.refuse_stl(content, label)
    names = ", ".join(dict.fromkeys(one.name for one in _FORMATS))
    raise MediumError(label, "not_points", f"is in none of the formats {names}, or its beginning is damaged")


def _check(counts: Counts, label: str, max_points: int) -> None:
    _clouds.check_counts(counts, label)
    if max(counts) > max_points:
        raise MediumError(label, "too_large", f"has {max(counts):,} points, at most {max_points:,} are read")


def example(number: int) -> Cloud:
    """A bent sheet of a size of its own, the same in every process: coloured points, or a mesh of them."""
    rows, columns = 12 + 3 * number, 10 + 2 * number
    y, x = np.mgrid[0 : 1 : rows * 1j, 0 : 1 : columns * 1j]
    points = np.column_stack([x.ravel(), y.ravel(), np.sin(3 * x * (number + 1)).ravel()]).astype(np.float32)
    colors = np.random.default_rng(number).integers(0, 256, points.shape) / 255
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    faces = np.stack([corner, corner + 1, corner + columns], axis=1)
    return Cloud(points, colors.astype(np.float32), faces if number % 2 else None)


RECORD = ModalityRecord(
    name="points",
    plural="pointclouds",
    blocks=("pointcloud", "point_cloud", "points_url", "input_points"),
    placeholder="<points>",
    signal="[PTS{}]",
    argument="point_clouds",
    suffixes=_SUFFIXES,
    written=".glb",
    formats=_WRITTEN[1:],
    describe=(
        "Describe the 3-D shape briefly.",
        "What is this shape?",
        "Say in one sentence what this 3-D shape is.",
        "Give a short caption for the 3-D shape.",
        "Sum up this shape in a few words.",
    ),
    make=(
        "Make this 3-D shape: {caption}",
        "Create the 3-D shape that this text describes: {caption}",
        "I would like a new 3-D shape. It shows: {caption}",
    ),
    open=open_points,
    write=write,
    preview=_previews.turning,
    example=example,
)

"""Points in arrays: NumPy's npy and npz, without objects, which would be code, and PCL's pcd."""

import lzma
import math
import re
import struct
import zipfile
import zlib
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped
from numpy.lib import format as npy

from modalink.errors import MediumError
from modalink.modalities import _clouds, _numbers
from modalink.modalities._clouds import Cloud, Counts

_POINTS = ("points", "xyz", "positions", "vertices", "pointcloud", "point_cloud", "arr_0")
_COLORS = ("colors", "colours", "rgb", "color")
_FACES = ("faces", "triangles")
_LARGEST = 2**28
"""Bytes of all arrays of one npz together."""
_HEAD = 2**14


class _Array(NamedTuple):
    shape: tuple[int, ...]
    by_column: bool
    kind: np.dtype
    start: int

    @property
    def size(self) -> int:
        """Bytes up to its end."""
        return self.start + math.prod(self.shape) * self.kind.itemsize


def npy_counts(content: bytes, label: str) -> Counts:
    """How many rows the header says."""
    return Counts(_rows(_head(content, label)), 0)


def npy_cloud(content: bytes, label: str) -> Cloud:
    """The points of one array."""
    return _clouds.of_columns(_array(content, label), label)


def npz_counts(content: bytes, label: str) -> Counts:
    """How many rows the headers say."""
    heads = {name: _head(data, label) for name, data in _members(content, label, _HEAD).items()}
    faces = _found(heads, _FACES)
    return Counts(_rows(_points(heads, label)), 0 if faces is None else _rows(faces))


def npz_cloud(content: bytes, label: str) -> Cloud:
    """The points, colours and triangles of several arrays, by their names."""
    arrays = {name: _array(data, label) for name, data in _members(content, label, _LARGEST).items()}
    cloud = _clouds.of_columns(_points(arrays, label), label)
    colors, faces = _found(arrays, _COLORS), _found(arrays, _FACES)
    if colors is not None and (colors.ndim != 2 or colors.shape[1] not in (3, 4)):
        raise MediumError(label, "not_points", f"found colours with the shape {colors.shape}, needed [n 3]")
    found = cloud.colors if colors is None else _clouds.scaled(colors[:, :3], label)
    return Cloud(cloud.points, found, faces)


def _rows(array: Any) -> int:
    return array.shape[0] if array.shape else 0


def _points(arrays: dict[str, Any], label: str) -> Any:
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    if (found := _found(arrays, _POINTS)) is None:
        detail = f"found the arrays {', '.join(sorted(arrays))[:80] or 'none'}, needed one called {', '.join(_POINTS)}"
        raise MediumError(label, "not_points", detail)
    return found


def _found(arrays: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((arrays[name] for name in names if name in arrays), None)


def _members(content: bytes, label: str, most: int) -> dict[str, bytes]:
    """The beginnings of the arrays of an npz, up to so many bytes of each."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            members = archive.infolist()
            if (total := sum(member.file_size for member in members)) > _LARGEST or len(members) > 1000:
                detail = f"holds {len(members):,} arrays of {total:,} bytes, at most {_LARGEST:,} are read"
                raise MediumError(label, "too_large", detail)
            found = {}
            for member in members:
                with archive.open(member) as file:
                    found[member.filename.removesuffix(".npy")] = file.read(min(most, member.file_size))
            return found
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError, NotImplementedError) as error:
        raise _numbers.damaged(label, f"its archive cannot be read: {str(error)[:100]}") from error
    except (lzma.LZMAError, struct.error) as error:
        raise _numbers.damaged(label, "its archive cannot be read") from error


def _head(content: bytes, label: str) -> _Array:
    """What an array's header says.

    Raises:
        MediumError: It is damaged (`damaged`), or the array holds objects (`not_points`).
    """
    file = BytesIO(content[:_HEAD])
    try:
        version = npy.read_magic(file)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, by_column, kind = read(file)
    except Exception as error:  # a broken header fails in many ways: it is parsed as Python's literals
        raise _numbers.damaged(label, "the header of its array cannot be read") from error
    if kind.hasobject:
        detail = "holds Python objects (a pickle), which could run code and are never read; save plain numbers [n 3]"
        raise MediumError(label, "not_points", detail)
    if kind.kind not in "fiu" or any(type(size) is not int or not 0 <= size < 2**40 for size in shape):
        raise MediumError(label, "not_points", f"holds {kind} in the shape {shape}, needed numbers [n 3]")
    return _Array(shape, by_column, kind, file.tell())


def _array(content: bytes, label: str) -> Shaped[np.ndarray, "..."]:
    head = _head(content, label)
    there = len(content) - head.start
    needed = head.size - head.start
    if there < needed:
        raise _numbers.truncated(label, there, needed, "bytes")
    if there > needed:
        raise _numbers.damaged(label, f"it holds {there - needed:,} bytes behind those that it says are there")
    values = np.frombuffer(content, head.kind, offset=head.start)
    return values.reshape(head.shape, order="F" if head.by_column else "C")


class _Field(NamedTuple):
    name: str
    kind: np.dtype
    width: int


class _Pcd(NamedTuple):
    fields: list[_Field]
    points: int
    data: str
    start: int


def is_pcd(content: bytes) -> bool:
    """Whether a file begins as PCD."""
    return re.match(rb"(#[^\n]*\n\s*)*VERSION\s+[.\d]+\s*\nFIELDS\s", content[:_HEAD]) is not None


def pcd_counts(content: bytes, label: str) -> Counts:
    """How many points the header says."""
    return Counts(_pcd_head(content, label).points, 0)


def pcd_cloud(content: bytes, label: str) -> Cloud:
    """The points of a PCD file, with the colours that PCL packs in one number."""
    head = _pcd_head(content, label)
    columns = _pcd_columns(content[head.start :], head, label)
    points = _clouds.places(columns, label)
    packed = next((columns[name] for name in ("rgb", "rgba") if name in columns), None)
    if packed is None:
        return Cloud(points)
    if packed.dtype.itemsize != 4:
        raise _numbers.damaged(label, f"its colours are {packed.dtype}, needed 4 bytes each")
    bits = np.ascontiguousarray(packed).view(packed.dtype.str[0] + "u4")
    return Cloud(points, np.column_stack([bits >> 16 & 255, bits >> 8 & 255, bits & 255]).astype(np.float32) / 255)


def _pcd_head(content: bytes, label: str) -> _Pcd:
    lines: dict[str, list[str]] = {}
    place = 0
    while "DATA" not in lines:
        end = content.find(b"\n", place, _HEAD)
        if end < 0:
            raise _numbers.damaged(label, "its header has no end")
        words = content[place:end].decode("latin-1").split()
        place = end + 1
        if words and not words[0].startswith("#"):
            lines[words[0]] = words[1:]
    try:
        names, kinds, sizes = lines["FIELDS"], lines["TYPE"], lines["SIZE"]
        counts = [int(word) for word in lines.get("COUNT", ["1"] * len(names))]
        kind = [np.dtype(f"<{_PCD_TYPES[one]}{int(size)}") for one, size in zip(kinds, sizes, strict=True)]
        fields = [_Field(*field) for field in zip(names, kind, counts, strict=True)]
        (points,), (data,) = map(int, lines["POINTS"]), lines["DATA"]
    except (KeyError, ValueError, TypeError) as error:
        raise _numbers.damaged(label, "its header does not say what it holds") from error
    if points < 0 or not all(0 < field.width < 2**16 for field in fields) or len(set(names)) < len(names):
        raise _numbers.damaged(label, "its header counts what nothing holds")
    return _Pcd(fields, points, data, place)


_PCD_TYPES = {"F": "f", "I": "i", "U": "u"}


def _pcd_columns(body: bytes, head: _Pcd, label: str) -> dict[str, Shaped[np.ndarray, " n"]]:
    if head.data == "ascii":
        return _pcd_text(body, head, label)
    if head.data != "binary":
        raise MediumError(label, "unsupported", f"holds data of the kind {head.data[:40]!r}; save it as binary")
    kind = np.dtype([(str(number), field.kind, field.width) for number, field in enumerate(head.fields)])
    if (there := len(body) // kind.itemsize) < head.points:
        raise _numbers.truncated(label, there, head.points, "points")
    if rest := body[head.points * kind.itemsize :].strip(b"\0 \r\n"):
        raise _numbers.damaged(label, f"it holds {len(rest):,} bytes behind its points")
    table = np.frombuffer(body, kind, head.points)
    return {field.name: table[str(number)][:, 0] for number, field in enumerate(head.fields) if field.width == 1}


def _pcd_text(body: bytes, head: _Pcd, label: str) -> dict[str, Shaped[np.ndarray, " n"]]:
    rows = _numbers.lines(body, label)
    if len(rows) < head.points:
        raise _numbers.truncated(label, len(rows), head.points, "points")
    table = _numbers.table(rows, label, "points")
    width = sum(field.width for field in head.fields)
    if len(rows) > head.points or (len(table) and table.shape[1] != width):
        raise _numbers.damaged(label, f"it holds {len(rows):,} rows, needed {head.points:,} of {width} numbers each")
    columns, place = {}, 0
    for field in head.fields:
        with np.errstate(all="ignore"):
            columns[field.name] = table[:, place].astype(field.kind)
        place += field.width
    return columns

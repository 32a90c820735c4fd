"""Shapes in simple formats: OBJ, OFF, STL (also binary), and points alone as rows of text or PCD.

Read here, since trimesh ends at the first word that is no number and takes the rest for read. What such a file names
outside (materials, textures) is not opened.
"""

import re
import struct

import numpy as np

from modalink.errors import MediumError
from modalink.modalities import _clouds, _numbers
from modalink.modalities._clouds import Cloud, Counts

_OBJ_WORDS = frozenset(
    [
        *("v", "vt", "vn", "vp", "f", "l", "p", "o", "g", "s", "mg", "usemtl", "mtllib", "usemap", "maplib", "lod"),
        *("cstype", "deg", "bmat", "step", "curv", "curv2", "surf", "parm", "trim", "hole", "scrv", "sp", "end", "con"),
        *("bevel", "c_interp", "d_interp", "shadow_obj", "trace_obj", "ctech", "stech", "call", "csh"),
    ]
)
_OFF = re.compile(rb"(?:\s*#[^\n]*\n)*\s*(?:ST)?(C)?(N)?OFF(?![A-Za-z])")
_STL_FACE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_STL_HEAD = 84
_AXES = ("x", "y", "z")


def obj_counts(content: bytes, label: str) -> Counts:
    """How many points and polygons are listed."""
    rows = b"\n" + content.replace(b"\r", b"\n")
    return Counts(len(re.findall(rb"\n[ \t]*v[ \t]", rows)), len(re.findall(rb"\n[ \t]*f[ \t]", rows)))


def obj_cloud(content: bytes, label: str) -> Cloud:
    """The points and triangles of an OBJ file; its materials lie in other files, which are not opened."""
    points: list[str] = []
    polygons: list[str] = []
    for line in _numbers.lines(content.replace(b"\\\n", b" ").replace(b"\\\r\n", b" "), label):
        word, _, rest = line.partition(" ") if " " in line else line.partition("\t")
        if word == "v":
            points.append(rest)
        elif word == "f":
            polygons.append(_obj_corners(rest, len(points)))
        elif word not in _OBJ_WORDS:
            raise _numbers.damaged(label, f"it has the line {line[:60]!r}, which says nothing")
    table = _numbers.table(points, label, "points")
    if len(table) and table.shape[1] not in (3, 4, 6, 7):
        raise _numbers.damaged(label, f"its points have {table.shape[1]} numbers, needed 3, or 6 with colours")
    colors = _clouds.scaled(table[:, 3:6], label) if table.shape[1] >= 6 else None
    faces = _numbers.polygons(polygons, label, counted=False) - 1
    return Cloud(table[:, :3], colors, faces if len(faces) else None)


def _obj_corners(rest: str, points: int) -> str:
    """The corners of a polygon, from 1, without their textures and normals; those from the end are counted anew."""
    words = [word.partition("/")[0] for word in rest.split()]
    if "-" in rest:
        words = [str(points + 1 + int(word)) if re.fullmatch(r"-\d{1,9}", word) else word for word in words]
    return " ".join(words)


def is_off(content: bytes) -> bool:
    """Whether a file begins as OFF."""
    return _OFF.match(content[:4096]) is not None


def off_counts(content: bytes, label: str) -> Counts:
    """How many points and polygons the first line says."""
    return _off_head(content, label)[0]


def off_cloud(content: bytes, label: str) -> Cloud:
    """The points and triangles of an OFF file."""
    (count, faces), skipped, colored, rows = _off_head(content, label)
    if len(rows) < count + faces:
        raise _numbers.truncated(label, len(rows), count + faces, "points and polygons")
    if len(rows) > count + faces:
        raise _numbers.damaged(
            label, f"it holds {len(rows) - count - faces:,} lines behind those that it says are there"
        )
    table = _numbers.table(rows[:count], label, "points")
    if len(table) and table.shape[1] < 3:
        raise _numbers.damaged(label, f"its points have {table.shape[1]} numbers, needed 3")
    found = table[:, skipped : skipped + 3]
    colors = _clouds.scaled(found, label) if colored and found.shape[1] == 3 else None
    polygons = _numbers.polygons(rows[count:], label, counted=True)
    return Cloud(table[:, :3], colors, polygons if faces else None)


def _off_head(content: bytes, label: str) -> tuple[Counts, int, bool, list[str]]:
    """The counts, where colours would stand in a row, whether they do, and the rows."""
    mark = _OFF.match(content[:4096])
    assert mark is not None
    rows = _numbers.lines(content[mark.end() :], label)
    words = rows[0].split() if rows else []
    if len(words) not in (2, 3) or not all(word.isdecimal() and len(word) < 13 for word in words):
        raise _numbers.damaged(label, "it does not say how many points and polygons it holds")
    return Counts(int(words[0]), int(words[1])), 6 if mark[2] else 3, bool(mark[1]), rows[1:]


def is_binary_stl(content: bytes) -> bool:
    """Whether a file is as long as its number of triangles says."""
    return len(content) >= _STL_HEAD and _stl_size(content) == len(content)


def _stl_size(content: bytes) -> int:
    count: int = struct.unpack_from("<I", content, _STL_HEAD - 4)[0]
    return _STL_HEAD + count * _STL_FACE.itemsize


def refuse_stl(content: bytes, label: str) -> None:
    """Say what is wrong with what should be a binary STL."""
    if len(content) < _STL_HEAD:
        raise MediumError(label, "truncated", f"is truncated: an STL holds {_STL_HEAD} bytes at least; fetch it again")
    there = (len(content) - _STL_HEAD) // _STL_FACE.itemsize
    needed = (_stl_size(content) - _STL_HEAD) // _STL_FACE.itemsize
    if there < needed:
        raise _numbers.truncated(label, there, needed, "triangles")
    raise _numbers.damaged(label, f"it holds {len(content):,} bytes, needed {_stl_size(content):,} for its triangles")


def stl_counts(content: bytes, label: str) -> Counts:
    """How many triangles it holds, each with corners of its own."""
    faces = (len(content) - _STL_HEAD) // _STL_FACE.itemsize
    faces = faces if is_binary_stl(content) else len(re.findall(rb"\bendfacet\b", content, re.IGNORECASE))
    return Counts(3 * faces, faces)


def stl_cloud(content: bytes, label: str) -> Cloud:
    """The triangles of an STL file; attributes, which some programs take for colours, are left out."""
    if is_binary_stl(content):
        points = np.frombuffer(content, _STL_FACE, offset=_STL_HEAD)["corners"].reshape(-1, 3)
    else:
        rows = [line.split(None, 1) for line in _numbers.lines(content.lower(), label)]
        words = [row[0] for row in rows]
        corners = [row[1] for row in rows if row[0] == "vertex" and len(row) == 2]
        if "endsolid" not in words[-1:] or words.count("endfacet") != words.count("facet"):
            raise MediumError(label, "truncated", "is truncated: it has no end; fetch it again")
        if len(corners) != 3 * words.count("endfacet") or words.count("vertex") != len(corners):
            raise _numbers.damaged(label, "its triangles have not three corners each")
        points = _numbers.table(corners, label, "corners")
    if points.shape[1] != 3:
        raise _numbers.damaged(label, f"its corners have {points.shape[1]} numbers, needed 3")
    return Cloud(points, faces=np.arange(len(points)).reshape(-1, 3))


def is_rows(content: bytes) -> bool:
    """Whether a text begins with rows of three numbers or more."""
    return any(_numbers_in(line) >= 3 for line in content[:4096].replace(b"\r", b"\n").split(b"\n")[:20])


def _numbers_in(line: bytes) -> int:
    words = re.split(rb"[\s,;]+", line.strip())
    return len(words) if all(re.fullmatch(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|nan|-?inf", w) for w in words) else 0


def rows_counts(content: bytes, label: str) -> Counts:
    """How many rows there are."""
    return Counts(len(_rows(content, label)), 0)


def rows_cloud(content: bytes, label: str) -> Cloud:
    """Points of rows of text, separated by spaces, commas or semicolons; columns as in arrays."""
    return _clouds.of_columns(_numbers.table(_rows(content, label), label, "points"), label)


def _rows(content: bytes, label: str) -> list[str]:
    lines = _numbers.lines(content.replace(b"//", b"#").replace(b",", b" ").replace(b";", b" "), label)
    named = bool(lines) and lines[0].lower().split()[:3] == [*_AXES]
    return lines[named:]

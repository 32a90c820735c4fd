"""PLY files, in text or binary: points with their colours, and polygons where there are some.

Read here, since trimesh reads text leniently (a row that is cut counts as one of fewer numbers), and no binary file
whose polygons differ in length.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64, Shaped

from modalink.errors import MediumError
from modalink.modalities import _clouds, _numbers
from modalink.modalities._clouds import Cloud, Counts

MARK = b"ply"
_END = re.compile(rb"[\r\n]end_header[ \t]*(\r\n|\r|\n)")
_LONGEST_HEADER = 2**16
_MOST_COUNT = 2**40
_MOST_WALKED = 2**19
"""Polygons of different lengths, which are found one after the other: a few seconds."""
_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4"},
    **{"double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"int64": "i8", "uint64": "u8", "float16": "f2", "float32": "f4", "float64": "f8"},
}
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_COLORS = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))
_CORNERS = ("vertex_indices", "vertex_index")


@dataclass
class _Element:
    """Rows of one kind.

    Args:
        name: `vertex`, `face`, or another kind, which is passed over.
        count: How many rows.
        scalars: Types of its single numbers by name.
        lists: Types of the lengths and of the entries of its lists by name.
        order: All names, in order.
    """

    name: str
    count: int
    scalars: dict[str, str] = field(default_factory=dict)
    lists: dict[str, tuple[str, str]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)


@dataclass
class _Header:
    """What stands before the rows: the order of bytes (empty of text), the kinds of rows, and its own size in bytes."""

    order: str
    elements: list[_Element]
    size: int


def counts(content: bytes, label: str) -> Counts:
    """How many points and polygons the header says.

    Raises:
        MediumError: The header is damaged.
    """
    elements = {element.name: element.count for element in _header(content, label).elements}
    return Counts(elements.get("vertex", 0), elements.get("face", 0))


def cloud(content: bytes, label: str) -> Cloud:
    """What a file holds.

    Raises:
        MediumError: It is damaged, truncated, or holds no places of points.
    """
    header = _header(content, label)
    read = _from_binary if header.order else _from_text
    columns, faces = read(content[header.size :], header, label)
    points = _clouds.places(columns, label)
    return Cloud(points, _colors(columns, label), faces)


def _colors(columns: dict[str, Shaped[np.ndarray, " n"]], label: str) -> Float32[np.ndarray, "n 3"] | None:
    names = next((names for names in _COLORS if all(name in columns for name in names)), None)
    if names is None:
        return None
    types = {columns[name].dtype for name in names}
    if len(types) > 1:
        raise _numbers.damaged(label, "red, green and blue are of different types")
    return _clouds.scaled(np.column_stack([columns[name] for name in names]), label)


def _header(content: bytes, label: str) -> _Header:
    end = _END.search(content[:_LONGEST_HEADER])
    if end is None:
        raise _numbers.damaged(label, "its header has no end")
    lines = [line.split() for line in re.split("[\r\n]+", content[: end.start()].decode("latin-1"))[1:] if line.strip()]
    order, elements = None, list[_Element]()
    for words in lines:
        if words[0] in ("comment", "obj_info"):
            continue
        if words[0] == "format" and len(words) == 3 and words[1] in _ORDERS:
            order = _ORDERS[words[1]]
        elif words[0] == "element" and len(words) == 3 and words[2].isdecimal() and int(words[2][:20]) < _MOST_COUNT:
            elements.append(_Element(words[1], int(words[2])))
        elif words[0] == "property" and len(words) > 2 and elements and _is_new(words, elements[-1]):
            _add(words, elements[-1])
        else:
            raise _numbers.damaged(label, f"its header has the line {' '.join(words)[:80]!r}, which says nothing")
    if order is None or not elements:
        raise _numbers.damaged(label, "its header says neither what it holds nor how")
    return _Header(order, elements, end.end())


def _is_new(words: list[str], element: _Element) -> bool:
    types = words[2:-1] if words[1] == "list" else words[1:-1]
    expected = 2 if words[1] == "list" else 1
    known = len(types) == expected and all(name in _TYPES for name in types)
    whole = expected == 1 or not known or _TYPES[types[0]][0] in "iu"  # a list's length is no fraction
    return known and whole and words[-1] not in element.order and len(element.order) < 1000


def _add(words: list[str], element: _Element) -> None:
    element.order.append(words[-1])
    if words[1] == "list":
        element.lists[words[-1]] = (_TYPES[words[2]], _TYPES[words[3]])
    else:
        element.scalars[words[-1]] = _TYPES[words[1]]


_Columns = dict[str, Shaped[np.ndarray, " n"]]
_Faces = Int64[np.ndarray, "f 3"] | None


def _from_text(body: bytes, header: _Header, label: str) -> tuple[_Columns, _Faces]:
    lines, place = _numbers.lines(body, label), 0
    columns, faces = _Columns(), None
    for element in header.elements:
        rows = lines[place : place + element.count]
        if len(rows) < element.count:
            raise _numbers.truncated(label, len(rows), element.count, f"rows of {element.name}")
        place += element.count
        if element.name == "vertex":
            columns = _typed(_numbers.table(rows, label, "points"), element, label)
        elif element.name == "face" and (corners := _corners(element, label)):
            before = element.order.index(corners)
            faces = _numbers.polygons([row.split(None, before)[-1] for row in rows], label, counted=True)
    if len(lines) > place:
        raise _numbers.damaged(label, f"it holds {len(lines) - place:,} lines behind those that it says are there")
    return columns, faces


def _typed(table: Shaped[np.ndarray, "n c"], element: _Element, label: str) -> _Columns:
    """The columns of text in the types that they should have."""
    if element.lists or (len(table) and table.shape[1] != len(element.order)):
        raise _numbers.damaged(label, f"its points have other columns than {', '.join(element.order)[:80]}")
    columns = {}
    for name, values in zip(element.order, table.T, strict=False):
        with np.errstate(all="ignore"):
            columns[name] = values.astype(element.scalars[name])
        if columns[name].dtype.kind in "iu" and not np.array_equal(columns[name], values):
            raise _numbers.damaged(label, f"its {name} holds numbers that are none of {columns[name].dtype}")
    return columns


def _from_binary(body: bytes, header: _Header, label: str) -> tuple[_Columns, _Faces]:
    place = 0
    columns, faces = _Columns(), None
    for element in header.elements:
        if element.lists:
            groups, place = _lists(body, place, element, header.order, label)
            faces = _numbers.fans(groups, label) if element.name == "face" else faces
        elif element.order:
            kind = np.dtype([(name, header.order + element.scalars[name]) for name in element.order])
            table = _rows(body, place, kind, element, label)
            place += table.nbytes
            columns = {name: table[name] for name in element.order} if element.name == "vertex" else columns
    if rest := body[place:].strip():
        raise _numbers.damaged(label, f"it holds {len(rest):,} bytes behind those that it says are there")
    return columns, faces


def _rows(body: bytes, place: int, kind: np.dtype, element: _Element, label: str) -> Shaped[np.ndarray, " n"]:
    there = (len(body) - place) // kind.itemsize
    if there < element.count:
        raise _numbers.truncated(label, there, element.count, f"rows of {element.name}")
    return np.frombuffer(body, kind, element.count, place)


def _lists(
    body: bytes, place: int, element: _Element, order: str, label: str
) -> tuple[list[Shaped[np.ndarray, "..."]], int]:
    """The corners of polygons, in groups of as many, and where the rows end."""
    if element.count > _clouds.MAX_FACES:
        raise MediumError(label, "too_large", f"has {element.count:,} rows of {element.name}; make them fewer")
    corners = _corners(element, label) if element.name == "face" else None
    rows = _walked(body, place, element, order, label)
    first = next(rows, None)
    if first is None:
        return [], place
    fields: list[tuple[str, str] | tuple[str, str, tuple[int]]] = []
    for name in element.order:
        if name in element.lists:
            lengths, entries = element.lists[name]
            fields += [(f"{name} ", order + lengths), (name, order + entries, (first.lists[name].length,))]
        else:
            fields.append((name, order + element.scalars[name]))
    kind = np.dtype(fields)
    if len(body) - place >= element.count * kind.itemsize:
        table = np.frombuffer(body, kind, element.count, place)
        if all((table[f"{name} "] == found.length).all() for name, found in first.lists.items()):
            return ([] if corners is None else [table[corners]]), place + table.nbytes
    if element.count > _MOST_WALKED:
        most = f"at most {_MOST_WALKED:,} are read; make them triangles"
        raise MediumError(label, "too_large", f"has {element.count:,} polygons of different lengths, {most}")
    walked = [first, *rows]
    return ([] if corners is None else _grouped(body, walked, corners, element, order)), walked[-1].end


class _List(NamedTuple):
    start: int
    length: int


class _Row(NamedTuple):
    end: int
    lists: dict[str, _List]


def _walked(body: bytes, place: int, element: _Element, order: str, label: str) -> Iterator[_Row]:
    """Rows that hold lists, each from where the one before ends."""
    sizes = {name: np.dtype(kind).itemsize for name, kind in element.scalars.items()}
    readers = {
        name: (struct.Struct(order + np.dtype(lengths).char), np.dtype(entries).itemsize)
        for name, (lengths, entries) in element.lists.items()
    }
    for number in range(element.count):
        lists = {}
        for name in element.order:
            if name not in readers:
                place += sizes[name]
                continue
            reader, size = readers[name]
            length = reader.unpack_from(body, place)[0] if place + reader.size <= len(body) else len(body)
            lists[name] = _List(place + reader.size, length)
            place += reader.size + max(0, length) * size
            if length < 0:
                raise _numbers.damaged(label, f"row {number} of its {element.name} has a list of {length} numbers")
        if place > len(body):
            raise _numbers.truncated(label, number, element.count, f"rows of {element.name}")
        yield _Row(place, lists)


def _grouped(
    body: bytes, rows: list[_Row], corners: str, element: _Element, order: str
) -> list[Shaped[np.ndarray, "..."]]:
    """Lists of the same length together, as numbers."""
    kind = np.dtype(order + element.lists[corners][1])
    starts: dict[int, list[int]] = {}
    for row in rows:
        found = row.lists[corners]
        starts.setdefault(found.length, []).append(found.start)
    raw = np.frombuffer(body, np.uint8)
    groups = []
    for length, places in starts.items():
        taken = raw[np.array(places)[:, None] + np.arange(length * kind.itemsize)]
        groups.append(taken.view(kind) if length else np.empty((len(places), 0), kind))
    return groups


def _corners(element: _Element, label: str) -> str | None:
    """The list of a polygon's corners; None where its rows hold none."""
    name = next((name for name in _CORNERS if name in element.lists), None)
    if name is not None and any(before in element.lists for before in element.order[: element.order.index(name)]):
        raise MediumError(label, "unsupported", "has other lists before the corners of its polygons; write it again")
    return name

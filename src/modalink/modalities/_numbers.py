"""Numbers in text: rows of one length, and polygons, which become triangles. What is no number is an error, no end."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from modalink.errors import MediumError
from modalink.modalities._clouds import Counts, check_counts

_MOST_CORNERS = 10_000
"""Corners of one polygon."""
_LONGEST = 2**26
"""Bytes of one text: some two million points."""


def lines(content: bytes, label: str) -> list[str]:
    """The lines of a text of numbers that hold something, without what stands behind `#`.

    Raises:
        MediumError: It is too long.
    """
    if len(content) > _LONGEST:
        detail = f"holds {len(content):,} bytes of text, at most {_LONGEST:,} are read; write it in a binary format"
        raise MediumError(label, "too_large", detail)
    text = content.decode("latin-1").replace("\r", "\n")
    stripped = (line.partition("#")[0].strip() for line in text.split("\n"))
    return [line for line in stripped if line]


def table(rows: Sequence[str], label: str, what: str) -> Float64[np.ndarray, "n c"]:
    """Rows of as many numbers each.

    Raises:
        MediumError: They are not.
    """
    if not rows:
        return np.empty((0, 3))
    if not all(rows):  # which NumPy would pass over
        raise damaged(label, f"some of its {what} have no numbers")
    try:
        return np.loadtxt(rows, dtype=np.float64, comments=None, ndmin=2)
    except ValueError as error:
        raise damaged(label, f"its {what} are no rows of as many numbers each: {_first(error)}") from error


def polygons(rows: Sequence[str], label: str, *, counted: bool) -> Int64[np.ndarray, "f 3"]:
    """The triangles of polygons, which are fans from their first corners.

    Args:
        rows: A polygon each.
        label: What errors call the medium.
        counted: Whether the number of corners stands before them, and perhaps a colour behind.

    Raises:
        MediumError: One has fewer than three corners, or others than it says.
    """
    if not all(rows):
        raise damaged(label, "has a polygon of 0 corners")
    try:
        same = np.loadtxt(rows, dtype=np.int64, comments=None, ndmin=2) if rows else np.empty((0, 3), np.int64)
        if not counted:
            return fans([same], label)
        if same.size and (same[:, 0] == same[0, 0]).all() and 0 <= same[0, 0] < same.shape[1]:
            return fans([same[:, 1 : 1 + same[0, 0]]], label)
    except ValueError:
        pass  # they differ in length
    by_length: dict[int, list[list[int]]] = {}
    for row in rows:
        words = row.split()
        try:
            count = int(words[0]) if counted else len(words)
            corners = [int(word) for word in words[counted : counted + count]]
        except ValueError as error:
            raise damaged(label, f"has a polygon that is no list of whole numbers: {row[:60]!r}") from error
        if len(corners) != count:
            raise damaged(label, f"has a polygon of {count} corners, of which {len(corners)} are there: {row[:60]!r}")
        by_length.setdefault(count, []).append(corners)
    try:
        return fans([np.array(group, np.int64).reshape(len(group), n) for n, group in by_length.items()], label)
    except OverflowError as error:
        raise damaged(label, "has a polygon with a corner that no point is") from error


def fans(groups: Sequence[Shaped[np.ndarray, "..."]], label: str) -> Int64[np.ndarray, "f 3"]:
    """The triangles of groups of polygons, each group of as many corners.

    Raises:
        MediumError: Some have fewer than three corners, or more than any drawing.
    """
    for group in groups:
        if len(group) and not 3 <= group.shape[1] <= _MOST_CORNERS:
            raise damaged(label, f"has a polygon of {group.shape[1]} corners, needed 3 to {_MOST_CORNERS:,}")
    check_counts(Counts(1, sum(len(group) * (group.shape[1] - 2) for group in groups if len(group))), label)
    triangles = [np.empty((0, 3), np.int64)]
    for group in groups:
        count = group.shape[1]
        for second in range(1, count - 1) if len(group) else ():
            triangles.append(group[:, [0, second, second + 1]].astype(np.int64))
    return np.concatenate(triangles)


def damaged(label: str, detail: str) -> MediumError:
    """The error for a file that is not as it says."""
    return MediumError(label, "damaged", f"is damaged: {detail}; fetch or write it again")


def truncated(label: str, found: int, needed: int, what: str) -> MediumError:
    """The error for a file that ends before it says."""
    detail = f"is truncated: {found:,} of the {needed:,} {what} that it says are there; fetch it again"
    return MediumError(label, "truncated", detail)


def _first(error: Exception) -> str:
    return str(error).partition(";")[0].splitlines()[0].rstrip(".")

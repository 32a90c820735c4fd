"""Whether the objects that a detector finds in a picture are those that a prompt asks for, in number, colour and place.

Source: Ghosh et al. 2023, GenEval; djghosh13/geneval, evaluation/evaluate_images.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels."""
POSITIONS = ("left of", "right of", "above", "below")
"""The relations of two objects that are told apart."""
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
"""The colours of objects that are told apart."""
POSITION_THRESHOLD = 0.1
"""How far two objects may overlap and still be beside each other, as a share of their widths or heights together."""


class Detected(NamedTuple):
    """One object that a detector finds."""

    box: Box
    score: float
    """How sure the detector is, 0 to 1."""
    colour: str = ""
    """Which colour it is taken for, where that was asked."""


@dataclass(frozen=True)
class Wanted:
    """What a prompt asks for of one class."""

    name: str
    count: int = 1
    colour: str = ""
    """Needed of as many as are asked for; empty: any."""
    position: tuple[str, int] | None = None
    """A relation, and the place among the wanted of what they stand in it to."""


def kept(found: Sequence[Detected], threshold: float, most: int) -> list[Detected]:
    """Objects of one class of which the detector is sure enough, the surest first, at most so many."""
    sure = [one for one in found if one.score > threshold]
    return sorted(sure, key=lambda one: -one.score)[:most]


def complaint(
    found: Mapping[str, Sequence[Detected]],
    wanted: Sequence[Wanted],
    excluded: Sequence[Wanted] = (),
    position_threshold: float = POSITION_THRESHOLD,
) -> str:
    """Why a picture does not show what was asked for; empty where it does.

    Of more objects than are asked for, the surest count.

    Args:
        found: Class -> its objects, the surest first.
        wanted: What must be there.
        excluded: What must not be there as often.
        position_threshold: See `POSITION_THRESHOLD`.
    """
    reasons: list[str] = []
    groups: list[Sequence[Detected] | None] = []
    for item in wanted:
        objects = found.get(item.name, ())[: item.count]
        reason = _missing(item, objects) or _misplaced(item, objects, groups, position_threshold)
        reasons += [reason] * bool(reason)
        groups.append(None if reason else objects)
    for item in excluded:
        if (count := len(found.get(item.name, ()))) >= item.count:
            reasons.append(f"expected fewer than {item.count} {item.name}, found {count}")
    return "; ".join(reasons)


def _missing(item: Wanted, objects: Sequence[Detected]) -> str:
    if len(objects) < item.count:
        return f"expected {item.count} {item.name}, found {len(objects)}"
    colours = [one.colour for one in objects]
    if item.colour and colours.count(item.colour) < item.count:
        return f"expected {item.count} {item.colour} {item.name}, found {', '.join(colours)}"
    return ""


def _misplaced(
    item: Wanted, objects: Sequence[Detected], groups: Sequence[Sequence[Detected] | None], threshold: float
) -> str:
    if item.position is None:
        return ""
    relation, place = item.position
    others = groups[place]
    if others is None:
        return f"found nothing for {item.name} to be {relation}"
    for one in objects:
        for other in others:
            if relation not in (relations := positions(one.box, other.box, threshold)):
                return f"expected {item.name} {relation} the other, found it {' and '.join(relations) or 'on it'}"
    return ""


def positions(box: Box, other: Box, threshold: float = POSITION_THRESHOLD) -> tuple[str, ...]:
    """The relations in which one box stands to another: none where they overlap too far, at most two."""
    own, its = (np.reshape(corners, (2, 2)) for corners in (box, other))
    offset = own.mean(0) - its.mean(0)
    sizes = np.abs(own[1] - own[0]) + np.abs(its[1] - its[0])
    apart = np.maximum(np.abs(offset) - threshold * sizes, 0) * np.sign(offset)
    if (np.abs(apart) < 1e-3).all():
        return ()
    across, down = apart / np.linalg.norm(offset)
    holds = (across < -0.5, across > 0.5, down < -0.5, down > 0.5)
    return tuple(name for name, true in zip(POSITIONS, holds, strict=True) if true)

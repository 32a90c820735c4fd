"""How much a run keeps of its accuracy beyond its own renderer, as the page shows it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from modalink.report.view import Meter, look_up, meters

_CLEAN = ["robustness.clean"]
_OUTSIDE = {
    "outside.questions_declined": ("questions from outside, declined in words", "no picture shown"),
    "outside.questions_declined_with_picture": ("the same beside a picture, declined in words", "a scene shown"),
    "inside_declined": ("questions about its world, declined wrongly", "should be 0"),
    "outside.pictures_answered": ("pictures from outside, answered without a crash", ""),
    "outside.pictures_sensible": ("pictures from outside, answered in whole known words", "cut or broken words fail"),
    "outside.messages_answered": ("odd messages, answered or refused in words", "empty, huge, other scripts, code"),
}


class HandRow(NamedTuple):
    """What one hand's pictures leave of the accuracy: the accuracy, and it as a part of that with the world's own."""

    accuracy: Meter
    kept: Meter


def hands(heldout: Mapping[str, Any]) -> list[HandRow]:
    """One row for each hand, in the order of the evaluation; none where robustness was not measured."""
    names = look_up(heldout, "robustness.vqa") or {}
    return [
        HandRow(*meters(heldout, {f"robustness.{key}.{name}": (spoken(name), "", _CLEAN) for key in ("vqa", "kept")}))
        for name in names
    ]


def outside(heldout: Mapping[str, Any]) -> list[Meter]:
    """What is said to things from outside the world."""
    return meters(heldout, {f"robustness.{path}": (name, what, []) for path, (name, what) in _OUTSIDE.items()})


def spoken(name: str) -> str:
    """A key in words: `large_picture` is `large picture`."""
    return name.replace("jpeg", "JPEG").replace("_", " ")

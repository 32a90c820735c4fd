"""How things of the tiny world that were made are judged: the parts that a classifier reads, beside those asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from modalink.tiny_world.worlds import WORLDS
from modalink.zoo.clip_classifier import ClipClassifier
from modalink.zoo.solid_classifier import SolidClassifier
from modalink.zoo.sound_classifier import SoundClassifier


@dataclass(frozen=True)
class Rule:
    """How parts of one modality are compared.

    Args:
        at: Attribute by which a part that is read belongs to one that was asked for.
        right: Attributes that must be right.
        told: Attributes that are counted, too.
    """

    at: str
    right: tuple[str, ...]
    told: tuple[str, ...] = ()


RULES = {
    "video": Rule("place", ("shape", "colour", "action"), ("size", "when")),
    "audio": Rule("ordinal", ("timbre", "pitch", "motion", "length")),
    "points": Rule("place", ("solid", "colour", "size"), ("pose",)),
}
"""Modality -> how its parts are compared: object and motion; timbre, pitch and rhythm; solid."""

CLASSIFIERS: dict[str, Any] = {"video": ClipClassifier, "audio": SoundClassifier, "points": SolidClassifier}
"""Modality -> class of the classifier that ships."""


def load(modality: str) -> Callable[[Sequence[Any]], list[list[Any]]] | None:
    """The classifier of a modality, which names the parts of media; None where none ships."""
    kind = CLASSIFIERS.get(modality)
    return None if kind is None else kind.load()


def parts(modality: str, thing: Any) -> tuple[Any, ...]:
    """The parts of a thing of the world."""
    found: tuple[Any, ...] = getattr(thing, WORLDS[modality].parts)
    return found


def hits(modality: str, asked: Any, read: Sequence[Any]) -> dict[str, bool]:
    """Which attributes of a part are as asked for where it should be, and whether all that must be right are."""
    rule = RULES[modality]
    seen = next((part for part in read if getattr(part, rule.at) == getattr(asked, rule.at)), None)
    found = {name: getattr(seen, name, None) == getattr(asked, name) for name in (*rule.right, *rule.told)}
    return found | {"whole": all(found[name] for name in rule.right)}


def right(modality: str, thing: Any, read: Sequence[Any]) -> bool:
    """Whether all parts that were asked for are there and right, and no other is."""
    asked = parts(modality, thing)
    return len(read) == len(asked) and all(hits(modality, part, read)["whole"] for part in asked)


def shares(modality: str, things: Sequence[Any], read: Sequence[Sequence[Any]]) -> dict[str, float]:
    """Share of the parts asked for that are right, by attribute and whole, and of media with all and no others."""
    rows = [
        hits(modality, part, seen) for thing, seen in zip(things, read, strict=True) for part in parts(modality, thing)
    ]
    by_name = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
    media = [right(modality, thing, seen) for thing, seen in zip(things, read, strict=True)]
    return by_name | {"medium": sum(media) / len(media)}

"""Reads captions back into objects, and scores what they got right."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.optimize import linear_sum_assignment

from modalink.evaluation.tiny_world.shares import Share
from modalink.tiny_world import CELLS, COLOURS, SHAPES, SIZES, SYNONYMS, Scene, WorldObject, split_of

ATTRIBUTES = ("shape", "colour", "size", "cell")
_VALUES = dict(zip(ATTRIBUTES, (SHAPES, COLOURS, SIZES, CELLS), strict=True))
_MEANING = {
    mentioned: (attribute, word)
    for attribute, words in _VALUES.items()
    for word in words
    for mentioned in (word, *SYNONYMS.get(word, ()))
}
# The longest first, so that "top left" is one cell.
_TOKEN = re.compile(r"\b(?:" + "|".join(sorted(_MEANING, key=len, reverse=True)) + r"|an?|one)\b|;")

Mention = dict[str, str]
"""What a caption states about one object: attribute -> value."""
Pair = tuple[WorldObject, Mention]


@dataclass(frozen=True)
class Caption:
    """The caption of a scene."""

    scene: Scene
    text: str


def parse(text: str) -> list[Mention]:
    """The objects that a caption mentions, in its own order.

    Understands the tiny world's language with its words in any order: an object ends where an article follows its
    attributes, or where an attribute comes a second time.
    """
    mentions: list[Mention] = [{}]
    for token in _TOKEN.findall(text.lower()):
        current = mentions[-1]
        if token not in _MEANING:
            if current.keys() - {"cell"}:
                mentions.append({})
            continue
        attribute, value = _MEANING[token]
        if attribute in current:
            mentions.append({})
        mentions[-1][attribute] = value
    return [mention for mention in mentions if "shape" in mention or "colour" in mention]


def paired(objects: Sequence[WorldObject], mentions: Sequence[Mention]) -> list[Pair]:
    """Each object with the mention meant for it (an empty one if there is none), so that most attributes fit."""
    if not mentions:
        return [(item, {}) for item in objects]
    fits = np.array([[len(hits(item, mention)) for mention in mentions] for item in objects])
    chosen = dict(zip(*(side.tolist() for side in linear_sum_assignment(-fits)), strict=True))
    return [(item, mentions[chosen[i]] if i in chosen else {}) for i, item in enumerate(objects)]


def hits(item: WorldObject, mention: Mention) -> list[str]:
    """The attributes of an object that a mention states rightly."""
    return [attribute for attribute in ATTRIBUTES if mention.get(attribute) == getattr(item, attribute)]


def _is_right(attribute: str, pair: Pair) -> bool:
    return attribute in hits(*pair)


def score(captions: Iterable[Caption]) -> dict[str, Share]:
    """Attributes, whole objects and numbers of objects that captions say rightly.

    Objects beyond those that are there count as wrong, so that saying more does not pay.
    """
    read = []
    for caption in captions:
        mentions = parse(caption.text)
        read.append((paired(caption.scene.objects, mentions), len(mentions)))
    names = dict(zip(ATTRIBUTES, ("shape", "colour", "size", "position"), strict=True))
    unseen = [([pair for pair in pairs if split_of(pair[0]) != "train"], 0) for pairs, _ in read]
    shares = {
        "caption_attributes": _share(read, lambda pair: len(hits(*pair)), len(ATTRIBUTES)),
        "caption_objects": _share(read, lambda pair: len(hits(*pair)) == len(ATTRIBUTES)),
        "caption_counts": Share.total((len(pairs) == mentioned, 1) for pairs, mentioned in read),
        "unseen.caption_attributes": _share(unseen, lambda pair: len(hits(*pair)), len(ATTRIBUTES)),
    }
    for attribute, name in names.items():
        shares[f"caption_by_attribute.{name}"] = _share(read, partial(_is_right, attribute))
    return shares


def _share(read: list[tuple[list[Pair], int]], right: Callable[[Pair], int], most: int = 1) -> Share:
    return Share.total((sum(map(right, pairs)), most * max(len(pairs), mentioned)) for pairs, mentioned in read)

"""Pictures that a system draws on request, read back by a classifier that had no part in making them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from modalink.evaluation.tiny_world.shares import Share
from modalink.roles import Conditions, Generator
from modalink.tiny_world import SPLITS, Scene, WorldObject, drawing_request, sample_scene, split_of
from modalink.zoo.scene_classifier import SceneClassifier

_TOGETHER = 50


@dataclass(frozen=True)
class DrawingRequest:
    """A request for a drawing of a scene."""

    scene: Scene
    text: str


@dataclass(frozen=True)
class Drawing:
    """What was drawn on a request, and what the classifier sees in it; no picture when the system drew none."""

    requested: DrawingRequest
    reply: str
    picture: Image.Image | None
    seen: tuple[WorldObject, ...] = ()

    def at(self, item: WorldObject) -> WorldObject | None:
        """What the classifier sees where an object was asked for."""
        return next((seen for seen in self.seen if seen.cell == item.cell), None)

    def right(self, item: WorldObject) -> bool:
        """Whether a requested object stands where it should, in the right colour and shape."""
        seen = self.at(item)
        return seen is not None and (seen.colour, seen.shape) == (item.colour, item.shape)


def request(split: str, count: int, seed: int) -> list[DrawingRequest]:
    """Requests for drawings of held-out scenes."""
    first = seed * 1_000_000
    scenes = [sample_scene(number, split) for number in range(first, first + count)]
    rngs = (np.random.default_rng([SPLITS.index(split), first + i, 1]) for i in range(count))
    return [DrawingRequest(scene, drawing_request(scene, rng)) for scene, rng in zip(scenes, rngs, strict=True)]


def sample(generator: Generator, conditions: Sequence[Conditions], seed: int) -> list[Image.Image]:
    """A picture for the conditions of each item, each from a seed of its own."""
    pictures: list[Image.Image] = []
    for start in range(0, len(conditions), _TOGETHER):
        chunk = Conditions.cat(conditions[start : start + _TOGETHER])
        rngs = [torch.Generator().manual_seed(seed * 1_000_000 + start + i) for i in range(len(chunk))]
        pictures += generator.sample(chunk, rng=rngs)
    return pictures


def read_drawings(
    classifier: SceneClassifier,
    requested: Sequence[DrawingRequest],
    replies: Sequence[str],
    pictures: Sequence[Image.Image | None],
) -> list[Drawing]:
    """Let the classifier look at the pictures."""
    there = [i for i, picture in enumerate(pictures) if picture is not None]
    pixels = [np.asarray(pictures[i].convert("RGB").resize((64, 64)), np.uint8) for i in there]  # type: ignore[union-attr]
    seen = dict(zip(there, classifier(np.stack(pixels)), strict=True)) if there else {}
    rows = enumerate(zip(requested, replies, pictures, strict=True))
    return [Drawing(asked, reply, picture, tuple(seen.get(i, ()))) for i, (asked, reply, picture) in rows]


def score(drawn: Iterable[Drawing]) -> dict[str, Share]:
    """Requested objects that stand where they should in the right colour and shape, and what else the classifier finds.

    An attribute counts as right only where something is at the object's position; a whole picture needs every object
    right in all attributes, and nothing else.
    """
    rows = list(drawn)
    shares = {"drawn_objects": Share.total((sum(map(d.right, _items(d))), len(_items(d))) for d in rows)}
    shares["drawn_pictures"] = Share.total((tuple(d.seen) == d.requested.scene.objects, 1) for d in rows)
    unseen = [(d, [item for item in _items(d) if split_of(item) != "train"]) for d in rows]
    shares["unseen.drawn_objects"] = Share.total((sum(map(d.right, items)), len(items)) for d, items in unseen)
    for attribute, name in {"cell": "position", "colour": "colour", "shape": "shape", "size": "size"}.items():
        hits = [
            sum(getattr(d.at(item), attribute, None) == getattr(item, attribute) for item in _items(d)) for d in rows
        ]
        of = [len(_items(d)) for d in rows]
        shares[f"drawn_by_attribute.{name}"] = Share.total(zip(hits, of, strict=True))
    return shares


def _items(drawn: Drawing) -> tuple[WorldObject, ...]:
    return drawn.requested.scene.objects

"""Dense targets for training-only heads: scenes as class numbers, one row of four attributes for each cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from modalink.tiny_world.across import FITTING
from modalink.tiny_world.clips import actors
from modalink.tiny_world.scenes import CELLS, COLOURS, SHAPES, SIZES, Scene, WorldObject
from modalink.tiny_world.solids import bodies
from modalink.tiny_world.sounds import notes

ATTRIBUTES = {"present": 2, "shape": len(SHAPES), "colour": len(COLOURS), "size": len(SIZES)}
"""Number of classes of each attribute that a head names for a cell."""
WIDTH = sum(ATTRIBUTES.values())
"""Outputs of a head for one cell."""
COMPARED = len(ATTRIBUTES) - 1
"""Attributes in which two objects can agree: all but presence."""
OBJECT_WIDTH = WIDTH + len(CELLS)
"""Outputs of a head for one object whose cell it has to name, too."""
NOT_ASKED = -100


@dataclass(frozen=True)
class Roster:
    """What heads name of the parts of a thing: of the notes of a sound, the actors of a clip, the solids of a cloud.

    Args:
        kind: Class of the parts.
        parts: Attribute of the thing that holds its parts.
        most: How many a thing has at most.
        values: Attribute of a part -> its values.
    """

    kind: type
    parts: str
    most: int
    values: Mapping[str, Sequence[str]]

    @property
    def names(self) -> tuple[str, ...]:
        """What is named: presence, and each attribute."""
        return ("present", *self.values)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of classes of each of them."""
        return (2, *map(len, self.values.values()))

    @property
    def width(self) -> int:
        """Outputs of a head for one part."""
        return sum(self.sizes)

    def classes(self, part: Any) -> list[int]:
        """Class numbers of a part, or of none."""
        if part is None:
            return [0, *[NOT_ASKED] * len(self.values)]
        return [1, *(values.index(getattr(part, name)) for name, values in self.values.items())]

    def targets(self, things: Sequence[Any]) -> Tensor:
        """Class numbers int64 [thing, part, attribute]; attributes of parts that a thing lacks are not asked (-100)."""
        return self.named([getattr(thing, self.parts) for thing in things])

    def named(self, parts: Sequence[Sequence[Any]]) -> Tensor:
        """The same for lists of parts [list, part, attribute], none of them longer than `most`."""
        rows = [[self.classes(part) for part in (*row, *[None] * (self.most - len(row)))] for row in parts]
        return torch.tensor(rows)


ROSTERS = {
    "audio": Roster(
        notes.Note,
        "notes",
        notes.MAX_NOTES,
        {
            "timbre": notes.TIMBRES,
            "pitch": notes.PITCHES,
            "motion": notes.MOTIONS,
            "length": notes.LENGTHS,
            "ordinal": notes.ORDINALS,
        },
    ),
    "video": Roster(
        actors.Actor,
        "actors",
        2,
        {
            "shape": SHAPES,
            "colour": COLOURS,
            "size": SIZES,
            "action": actors.ACTIONS,
            "when": actors.WHENS,
            "place": actors.PLACES,
        },
    ),
    "points": Roster(
        bodies.Solid,
        "solids",
        2,
        {
            "solid": bodies.SOLIDS,
            "colour": COLOURS,
            "size": SIZES,
            "pose": bodies.POSES,
            "place": bodies.PLACES,
        },
    ),
}
"""Modality -> what is named of its things."""


def cell_targets(scenes: Sequence[Scene]) -> Tensor:
    """Class numbers int64 [scene, cell, attribute]; shape, colour and size of an empty cell are not asked (-100)."""
    targets = np.full((len(scenes), len(CELLS), len(ATTRIBUTES)), NOT_ASKED, np.int64)
    targets[:, :, 0] = 0
    for row, scene in zip(targets, scenes, strict=True):
        for item in scene.objects:
            place = CELLS.index(item.cell)
            row[place] = _attributes(item)
    return torch.from_numpy(targets)


def object_targets(named: Sequence[WorldObject | None]) -> tuple[Tensor, Tensor]:
    """Class numbers int64 of attributes [object, 4] and of cells [object]; -100 where there is no object."""
    nothing = (NOT_ASKED,) * len(ATTRIBUTES)
    attributes = [nothing if item is None else _attributes(item) for item in named]
    cells = [NOT_ASKED if item is None else CELLS.index(item.cell) for item in named]
    return torch.tensor(attributes), torch.tensor(cells)


def same_targets(named: Sequence[Sequence[WorldObject]]) -> Tensor:
    """Whether two named objects agree in shape, colour and size, 0 or 1 [question, 3]; -100 where one is named."""
    targets = torch.full((len(named), COMPARED), NOT_ASKED)
    for row, items in zip(targets, named, strict=True):
        if len(items) == 2:
            one, other = (torch.tensor(_attributes(item)[-COMPARED:]) for item in items)
            row.copy_(one == other)
    return targets


def _attributes(item: WorldObject) -> tuple[int, int, int, int]:
    return 1, SHAPES.index(item.shape), COLOURS.index(item.colour), SIZES.index(item.size)


def attribute_loss(logits: Tensor, targets: Tensor, sizes: Sequence[int] = tuple(ATTRIBUTES.values())) -> Tensor:
    """Sum over the attributes of the mean cross-entropy of logits [..., width] against class numbers [..., attribute].

    Args:
        logits: Of all classes of all attributes, one attribute after the other.
        targets: The right classes, -100 where an attribute is not asked.
        sizes: Number of classes of each attribute.
    """
    parts = torch.split(logits.float(), list(sizes), dim=-1)
    pairs = zip(parts, targets.unbind(-1), strict=True)
    return torch.stack([functional.cross_entropy(p.flatten(0, -2), t.flatten()) for p, t in pairs]).sum()


def object_loss(logits: Tensor, attributes: Tensor, cells: Tensor) -> Tensor:
    """Loss of logits [..., OBJECT_WIDTH] against class numbers of attributes [..., 4] and cells [...]."""
    named, placed = logits.float().split([WIDTH, len(CELLS)], dim=-1)
    return attribute_loss(named, attributes) + functional.cross_entropy(placed.flatten(0, -2), cells.flatten())


MATCHED = ("shape", "colour", "motion")
"""In what parts of different modalities can match."""
MOST_MATCHES = 2


def match_targets(parts: Sequence[Sequence[Any]]) -> Tensor:
    """Whether parts that questions weigh against each other match, 0 or 1 [question, pair, 3]; -100 where not asked.

    Notes are weighed against actors in their order; an object of a picture or a solid against every actor; a solid
    against the objects of pictures.

    Args:
        parts: For each question the parts that it weighs.
    """
    targets = torch.full((len(parts), MOST_MATCHES, len(MATCHED)), NOT_ASKED)
    for rows, weighed in zip(targets, parts, strict=True):
        for row, pair in zip(rows, _pairs(weighed), strict=False):
            row.copy_(torch.tensor(_matches(*pair)))
    return targets


def _pairs(parts: Sequence[Any]) -> list[tuple[Any, Any]]:
    of = {kind: [part for part in parts if isinstance(part, kind)] for kind in _KINDS}
    played, seen, moving, solid = (of[kind] for kind in _KINDS)
    if played:
        return list(zip(played, moving, strict=False))
    if moving:
        return [(one, actor) for one in (*seen, *solid) for actor in moving]
    return [(body, item) for body in solid for item in seen]


_KINDS = (notes.Note, WorldObject, actors.Actor, bodies.Solid)


def _matches(one: Any, other: Any) -> tuple[int, int, int]:
    if isinstance(one, notes.Note):
        return NOT_ASKED, NOT_ASKED, int(FITTING.get(other.action) == one.motion)
    return int(one.shape == other.shape), int(one.colour == other.colour), NOT_ASKED


def agreement_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of logits [..., 2] against 0 or 1 [...]; 0 where nothing is asked."""
    total = functional.cross_entropy(logits.float().flatten(0, -2), targets.flatten(), reduction="sum")
    return total / (targets != NOT_ASKED).sum().clamp(min=1)


def attribute_hits(logits: Tensor, targets: Tensor, sizes: Mapping[str, int] = ATTRIBUTES) -> dict[str, float]:
    """Share of asked attributes that the logits name rightly, and of objects with all of them right (`whole`)."""
    parts = torch.split(logits.float(), list(sizes.values()), dim=-1)
    right = torch.stack([part.argmax(-1) for part in parts], dim=-1) == targets
    asked = targets != NOT_ASKED
    hits = {
        name: (right[..., i] & asked[..., i]).sum().item() / max(1, asked[..., i].sum().item())
        for i, name in enumerate(sizes)
    }
    objects = asked.all(-1)
    return hits | {"whole": (right.all(-1) & objects).sum().item() / max(1, objects.sum().item())}

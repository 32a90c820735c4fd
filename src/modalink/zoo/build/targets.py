"""Dense targets for training-only heads: scenes as class numbers, one row of four attributes for each cell."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from modalink.tiny_world.scenes import CELLS, COLOURS, SHAPES, SIZES, Scene, WorldObject

ATTRIBUTES = {"present": 2, "shape": len(SHAPES), "colour": len(COLOURS), "size": len(SIZES)}
"""Number of classes of each attribute that a head names for a cell."""
WIDTH = sum(ATTRIBUTES.values())
"""Outputs of a head for one cell."""
COMPARED = len(ATTRIBUTES) - 1
"""Attributes in which two objects can agree: all but presence."""
OBJECT_WIDTH = WIDTH + len(CELLS)
"""Outputs of a head for one object whose cell it has to name, too."""
NOT_ASKED = -100


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


def attribute_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum over the attributes of the mean cross-entropy of logits [..., WIDTH] against class numbers [..., 4]."""
    parts = torch.split(logits.float(), list(ATTRIBUTES.values()), dim=-1)
    pairs = zip(parts, targets.unbind(-1), strict=True)
    return torch.stack([functional.cross_entropy(p.flatten(0, -2), t.flatten()) for p, t in pairs]).sum()


def object_loss(logits: Tensor, attributes: Tensor, cells: Tensor) -> Tensor:
    """Loss of logits [..., OBJECT_WIDTH] against class numbers of attributes [..., 4] and cells [...]."""
    named, placed = logits.float().split([WIDTH, len(CELLS)], dim=-1)
    return attribute_loss(named, attributes) + functional.cross_entropy(placed.flatten(0, -2), cells.flatten())


def agreement_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of logits [question, 3, 2] against 0 or 1 [question, 3]; 0 where nothing is asked."""
    total = functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="sum")
    return total / (targets != NOT_ASKED).sum().clamp(min=1)


def attribute_hits(logits: Tensor, targets: Tensor) -> dict[str, float]:
    """Share of asked attributes that the logits name rightly, and of objects with all four right (`whole`)."""
    parts = torch.split(logits.float(), list(ATTRIBUTES.values()), dim=-1)
    right = torch.stack([part.argmax(-1) for part in parts], dim=-1) == targets
    asked = targets != NOT_ASKED
    hits = {
        name: (right[..., i] & asked[..., i]).sum().item() / max(1, asked[..., i].sum().item())
        for i, name in enumerate(ATTRIBUTES)
    }
    objects = asked.all(-1)
    return hits | {"whole": (right.all(-1) & objects).sum().item() / max(1, objects.sum().item())}

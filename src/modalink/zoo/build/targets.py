"""Dense targets for training-only heads: scenes as class numbers, one row of four attributes for each cell."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from modalink.zoo.scenes import CELLS, COLOURS, SHAPES, SIZES, Scene

ATTRIBUTES = {"present": 2, "shape": len(SHAPES), "colour": len(COLOURS), "size": len(SIZES)}
"""Number of classes of each attribute that a head names for a cell."""
WIDTH = sum(ATTRIBUTES.values())
"""Outputs of a head for one cell."""
NOT_ASKED = -100


def cell_targets(scenes: Sequence[Scene]) -> Tensor:
    """Class numbers int64 [scene, cell, attribute]; shape, colour and size of an empty cell are not asked (-100)."""
    targets = np.full((len(scenes), len(CELLS), len(ATTRIBUTES)), NOT_ASKED, np.int64)
    targets[:, :, 0] = 0
    for row, scene in zip(targets, scenes, strict=True):
        for item in scene.objects:
            place = CELLS.index(item.cell)
            row[place] = 1, SHAPES.index(item.shape), COLOURS.index(item.colour), SIZES.index(item.size)
    return torch.from_numpy(targets)


def attribute_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum over the attributes of the mean cross-entropy of logits [..., WIDTH] against class numbers [..., 4]."""
    parts = torch.split(logits.float(), list(ATTRIBUTES.values()), dim=-1)
    pairs = zip(parts, targets.unbind(-1), strict=True)
    return torch.stack([functional.cross_entropy(p.flatten(0, -2), t.flatten()) for p, t in pairs]).sum()


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

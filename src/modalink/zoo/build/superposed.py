"""Descriptions without order: the words of an object summed into single positions, laid out as a picture's patches."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from modalink.tiny_world.scenes import Scene

LAYOUTS = (4, 8)
"""Positions a side of the square grids in use."""
_KEPT = 0.8
_NOISE = 0.02

Slot = list[tuple[str, float]]


def lay_out(scene: Scene, side: int, rng: np.random.Generator) -> list[Slot]:
    """Write a scene as `side * side` positions in reading order, each a weighted bag of words.

    A position tells of the objects whose cells it overlaps, by the share of the overlap; at random it tells nothing,
    but of each object at least the best position tells.
    """
    shares = [np.outer(_overlap(item.row, side), _overlap(item.column, side)).ravel() for item in scene.objects]
    slots: list[Slot] = []
    dropped = rng.random(side * side) > _KEPT
    for share in shares:
        dropped[int(rng.choice(np.flatnonzero(share >= share.max() - 1e-6)))] = False
    strength = rng.uniform(0.5, 1.2, side * side)
    for i in range(side * side):
        slot: Slot = []
        for item, share in zip(scene.objects, shares, strict=True):
            if share[i] > 0.1 and not dropped[i]:
                words = f"{item.size} {item.colour} {item.shape} {item.cell}".split()
                slot += [(word, float(share[i] * strength[i])) for word in words]
        slots.append(slot or [("nothing", float(strength[i]))])
    return slots


def _overlap(cell: int, side: int) -> Float[np.ndarray, " side"]:
    """Share of each of `side` equal intervals that lies in one of three equal intervals."""
    starts = np.arange(side) / side
    length = np.minimum(starts + 1 / side, (cell + 1) / 3) - np.maximum(starts, cell / 3)
    share: np.ndarray = np.clip(length, 0, None) * side
    return share


class Slots:
    """Superposed positions of a batch, to be filled into its embeddings."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self._places: list[tuple[int, int]] = []
        self._bags: list[Slot] = []

    def add(self, row: int, start: int, slots: list[Slot]) -> None:
        """Put bags of words at the positions from `start` of a row."""
        self._places += [(row, start + i) for i in range(len(slots))]
        self._bags += slots

    def fill(self, embedding: nn.Module, ids: Tensor) -> Tensor:
        """Embed ids [b, t]; each superposed position becomes the weighted sum of its words' embeddings."""
        embeds: Tensor = embedding(ids)
        if not self._bags:
            return embeds
        words = {word: self._tokenizer.convert_tokens_to_ids("Ġ" + word) for bag in self._bags for word, _ in bag}
        number = {word: i for i, word in enumerate(words)}
        weights = np.zeros((len(self._bags), len(words)), np.float32)
        for row, bag in zip(weights, self._bags, strict=True):
            for word, weight in bag:
                row[number[word]] += weight
        sums = (torch.from_numpy(weights) @ embedding(torch.tensor(list(words.values())))).to(embeds.dtype)
        rows, columns = torch.tensor(self._places).T
        return embeds.index_put((rows, columns), sums + _NOISE * torch.randn_like(sums))

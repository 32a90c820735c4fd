"""Vectors of all processes that run a pass side by side, for objectives that compare media with each other.

A process learns from its own vectors alone, and gradients are added up afterwards; so each computes what its vectors do
in the losses of the others, too, and no gradient has to go from process to process.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from modalink.devices import to_device
from modalink.training import parallel

T = TypeVar("T")


@dataclass(frozen=True)
class Rows:
    """The rows of all processes, one process after the other.

    Args:
        all: The rows; a gradient goes to the own ones.
        first: The place of the first own row.
        count: How many own rows there are.
    """

    all: Float[Tensor, "r ..."]
    first: int
    count: int

    def places(self, own: bool) -> Int[Tensor, " p"]:
        """The places of the own rows, or of those of others."""
        ours = [*range(self.first, self.first + self.count)]
        chosen = ours if own else [place for place in range(len(self.all)) if place not in ours]
        return to_device(torch.tensor(chosen, dtype=torch.long), self.all.device)

    def part(self, own: bool) -> Float[Tensor, "p ..."]:
        """The own rows, or those of others."""
        return self.all[self.places(own)]


def union(names: Iterable[str], peers: str | None) -> list[str]:
    """The names that any process has, in one order for all.

    Args:
        names: This process's.
        peers: What its pass is called; None where it is alone.
    """
    own = [*names]
    return own if peers is None else sorted({*parallel.gathered(own)})


def told(own: list[T], peers: str | None) -> list[T]:
    """What processes say of their rows, one after the other as their rows are; each process must ask at the same time.

    Args:
        own: What this process says, nothing if it has no rows.
        peers: The name of its pass; None for a process that is alone.
    """
    if peers is None:
        return own
    return [one for name, one in parallel.gathered([(peers, one) for one in own]) if name == peers]


def rows(own: Float[Tensor, "n ..."] | None, peers: str | None, device: torch.device) -> Rows | None:
    """The rows of all processes whose pass has this name; each process must ask at the same time.

    Args:
        own: This process's rows, if it has some.
        peers: The name; None for a process that is alone.
        device: Where rows are.

    Returns:
        All rows, or None where this process has none.
    """
    if peers is None:
        return None if own is None else Rows(own, 0, len(own))
    told = parallel.gathered([None if own is None else (len(own), tuple(own.shape[1:]), peers)])
    held = [one for one in told if one is not None]
    if not held:
        return None
    shape = (max(count for count, *_ in held), *held[0][1])
    parts = parallel.tensors(torch.zeros(shape, device=device) if own is None else _filled(own, shape))
    if own is None:
        return None
    chosen = [(rank, one[0]) for rank, one in enumerate(told) if one is not None and one[2] == peers]
    first = sum(count for rank, count in chosen if rank < parallel.rank())
    each = [own.float() if rank == parallel.rank() else parts[rank][:count] for rank, count in chosen]
    return Rows(torch.cat(each), first, len(own))


def _filled(own: Tensor, shape: tuple[int, ...]) -> Tensor:
    rows = own.new_zeros(shape, dtype=torch.float32)
    rows[: len(own)] = own.detach()
    return rows

"""Media made ready: one item each."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

from modalink.ragged import Layout, Ragged


@dataclass(frozen=True)
class Item:
    """One preprocessed medium.

    Args:
        layout: How its units lie.
        digest: SHA-256 of what decides its values: names the item in feature caches.
        load: Gives its units `[u ...]`, what its encoder (or generator) reads.
        tokens: How many prompt tokens stand for it; 0 for a target.
        caption: Text that describes it, if known.
        text: Token ids of what is said beside it, for an input projector that reads them.
        loss: Whether training learns to make it, where it is a target.
    """

    layout: Layout
    digest: str
    load: Callable[[], Tensor] = field(compare=False)
    tokens: int = 0
    caption: str | None = None
    text: tuple[int, ...] = ()
    loss: bool = True

    @classmethod
    def of(
        cls,
        values: Tensor,
        layout: Layout | None = None,
        *,
        tokens: int = 0,
        caption: str | None = None,
        text: tuple[int, ...] = (),
        loss: bool = True,
    ) -> Self:
        """An item of units that are there already; its digest is that of their values."""
        content = repr((values.dtype, tuple(values.shape))).encode()
        content += values.contiguous().view(torch.uint8).numpy().tobytes()
        digest = hashlib.sha256(content).hexdigest()
        return cls(layout or Layout.of_units(len(values)), digest, lambda: values, tokens, caption, text, loss)


def ragged(items: Sequence[Item]) -> Ragged:
    """The units of items, joined."""
    return Ragged.of([item.load() for item in items], [item.layout for item in items])


def texts(items: Sequence[Item]) -> Ragged | None:
    """Token ids of what is said beside each item; None where nothing is."""
    if not any(item.text for item in items):
        return None
    rows = [torch.tensor(item.text, dtype=torch.long) for item in items]
    return Ragged(torch.cat(rows), tuple(map(len, rows)), tuple(Layout.of_units(max(1, len(row))) for row in rows))

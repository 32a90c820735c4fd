"""Media made ready: one item each, and the places in a batch's tokens that stand for it."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Self

import torch
from jaxtyping import Int
from torch import Tensor

from modalink.errors import PromptError
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
    """

    layout: Layout
    digest: str
    load: Callable[[], Tensor] = field(compare=False)
    tokens: int = 0
    caption: str | None = None
    text: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        values: Tensor,
        layout: Layout | None = None,
        *,
        tokens: int = 0,
        caption: str | None = None,
        text: tuple[int, ...] = (),
    ) -> Self:
        """An item of units that are there already; its digest is that of their values."""
        content = repr((values.dtype, tuple(values.shape))).encode()
        content += values.contiguous().view(torch.uint8).numpy().tobytes()
        digest = hashlib.sha256(content).hexdigest()
        return cls(layout or Layout.of_units(len(values)), digest, lambda: values, tokens, caption, text)


def ragged(items: Sequence[Item]) -> Ragged:
    """The units of items, joined."""
    return Ragged.of([item.load() for item in items], [item.layout for item in items])


def texts(items: Sequence[Item]) -> Ragged | None:
    """Token ids of what is said beside each item; None where nothing is."""
    if not any(item.text for item in items):
        return None
    rows = [torch.tensor(item.text, dtype=torch.long) for item in items]
    return Ragged(torch.cat(rows), tuple(map(len, rows)), tuple(Layout.of_units(max(1, len(row))) for row in rows))


@dataclass(frozen=True)
class Placement:
    """The places in a batch's tokens that stand for the items of one modality.

    Args:
        index: Places of all items, in the batch's rows laid one after the other.
        lengths: How many places each item has.
        samples: What errors call each item's sample.
    """

    index: Int[Tensor, " n"]
    lengths: tuple[int, ...]
    samples: tuple[str, ...]

    @classmethod
    def of(cls, places: Sequence[Sequence[int]], samples: Sequence[str]) -> Self:
        """The placement of items whose places are known."""
        flat = torch.tensor([place for item in places for place in item], dtype=torch.long)
        return cls(flat, tuple(map(len, places)), tuple(samples))

    @classmethod
    def find(cls, input_ids: Int[Tensor, "b t"], token: int, lengths: Sequence[int], modality: str) -> Self:
        """The places of items in tokens alone: placeholders in reading order, as many for each item as it needs.

        Raises:
            PromptError: They are too many or too few, or an item's lie in two rows.
        """
        held = input_ids == token
        index = held.flatten().nonzero().flatten()
        found, needed, width = len(index), sum(lengths), input_ids.shape[1]
        if found != needed:
            counts = ", ".join(f"row {i}: {n}" for i, n in enumerate(held.sum(1).tolist()))
            raise PromptError(
                f"found {found} {modality} placeholder tokens ({counts}) and {len(lengths)} {modality} items of "
                f"{_each(lengths)} prompt tokens, which need {needed}; place items as the processor does"
            )
        rows = [place // width for place in index.tolist()]
        items = list(pairwise(accumulate(lengths, initial=0)))
        for number, (start, end) in enumerate(items, 1):
            if rows[start] != rows[end - 1]:
                raise PromptError(
                    f"found the {end - start} placeholder tokens of {modality} item {number} in rows {rows[start]} and "
                    f"{rows[end - 1]}, needed them in one; give the items in the order of their placeholders"
                )
        return cls(index, tuple(lengths), tuple(f"row {rows[start]}" for start, _ in items))

    def check(self, lengths: Sequence[int], modality: str) -> None:
        """Demand that each item has as many places as prompt tokens were made of it.

        Raises:
            PromptError: One has not; it is named, with its sample.
        """
        if len(lengths) != len(self.lengths):
            raise PromptError(
                f"found {len(self.lengths)} runs of {modality} placeholders and {len(lengths)} {modality} items, "
                "needed as many"
            )
        for number, (places, tokens) in enumerate(zip(self.lengths, lengths, strict=True)):
            if places != tokens:
                raise PromptError(
                    f"{self.samples[number]}: {modality} item {number + 1} of the batch has {places} placeholder "
                    f"tokens and {tokens} prompt tokens, needed as many; is it the processor of this system?"
                )

    def to(self, device: torch.device | str) -> "Placement":
        """The same placement, its index on a device."""
        return Placement(self.index.to(device, non_blocking=True), self.lengths, self.samples)


def signal_runs(spoken: Int[Tensor, "b t"], signals: Sequence[int], modality: str) -> Placement | None:
    """The places of whole runs of signal tokens in tokens alone; None where there is none.

    Raises:
        PromptError: A run is not whole.
    """
    ids = torch.tensor(signals, device=spoken.device)
    index = torch.isin(spoken, ids).flatten().nonzero().flatten()
    if not len(index):
        return None
    found = spoken.flatten()[index]
    if len(found) % len(ids) or not torch.equal(found.view(-1, len(ids)), ids.expand(len(found) // len(ids), -1)):
        raise PromptError(
            f"found {len(found)} {modality} signal tokens that are no whole runs of {len(ids)}; "
            "each medium needs all its signal tokens in order"
        )
    count = len(found) // len(ids)
    return Placement(index, (len(ids),) * count, ("",) * count)


def places_of(ids: Sequence[int], tokens: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """The places of items in one row of ids: of `tokens`, in reading order, as many for each item as it has."""
    wanted = {*tokens}
    places = iter([place for place, token in enumerate(ids) if token in wanted])
    for length in lengths:
        yield [next(places) for _ in range(length)]


def _each(lengths: Sequence[int]) -> str:
    return " to ".join(map(str, sorted({min(lengths, default=0), max(lengths, default=0)})))

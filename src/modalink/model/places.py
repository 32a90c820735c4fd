"""The places in a batch's tokens that stand for media, counted through its rows; known on the host."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Self

import torch
from jaxtyping import Int
from torch import Tensor

from modalink.devices import to_device
from modalink.errors import PromptError


@dataclass(frozen=True)
class Placement:
    """The places in a batch's tokens that stand for the items of one modality.

    Args:
        index: Places of all items, in the batch's rows laid one after the other.
        lengths: How many places each item has.
        samples: What errors call each item's sample.
        starts: First place of each item, on the host.
        origins: First place of each item's sample, on the host; empty where nobody asks for it.
    """

    index: Int[Tensor, " n"]
    lengths: tuple[int, ...]
    samples: tuple[str, ...]
    starts: tuple[int, ...]
    origins: tuple[int, ...] = ()

    @classmethod
    def of(cls, places: Sequence[Sequence[int]], samples: Sequence[str], origins: Sequence[int] = ()) -> Self:
        """The placement of items whose places are known."""
        flat = torch.tensor([place for item in places for place in item], dtype=torch.long)
        starts = tuple(item[0] for item in places)
        return cls(flat, tuple(map(len, places)), tuple(samples), starts, tuple(origins))

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
        flat = index.tolist()
        rows = [place // width for place in flat]
        items = list(pairwise(accumulate(lengths, initial=0)))
        for number, (start, end) in enumerate(items, 1):
            if rows[start] != rows[end - 1]:
                raise PromptError(
                    f"found the {end - start} placeholder tokens of {modality} item {number} in rows {rows[start]} and "
                    f"{rows[end - 1]}, needed them in one; give the items in the order of their placeholders"
                )
        names, starts = (
            zip(*((f"row {rows[start]}", flat[start]) for start, _ in items), strict=True) if items else ((), ())
        )
        return cls(index, tuple(lengths), names, starts)

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
        return replace(self, index=to_device(self.index, device))


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
    count, width = len(found) // len(ids), spoken.shape[1]
    starts = tuple(index[:: len(ids)].tolist())
    origins = tuple(start // width * width for start in starts)
    return Placement(index, (len(ids),) * count, ("",) * count, starts, origins)


def places_of(ids: Sequence[int], tokens: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """The places of items in one row of ids: of `tokens`, in reading order, as many for each item as it has."""
    wanted = {*tokens}
    places = iter([place for place, token in enumerate(ids) if token in wanted])
    for length in lengths:
        yield [next(places) for _ in range(length)]


def _each(lengths: Sequence[int]) -> str:
    return " to ".join(map(str, sorted({min(lengths, default=0), max(lengths, default=0)})))

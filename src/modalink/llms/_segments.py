"""Where the samples of a packed stream begin and end: known on the host and on the device, once a batch."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Self

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from modalink.devices import to_device

PADDING_LIMIT = 0.25
"""The share of padding up to which one padded call is faster on a CPU than several (benchmarks/attention.py)."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Samples of like length, as rows that are as long as the longest of them.

    For example, of samples of 3, 9 and 4 tokens, the first and the last as two rows of 4 have the tokens
    `[0, 1, 2, 12, 13, 14, 15]` and the places `[0, 1, 2, 4, 5, 6, 7]`.

    Args:
        samples: Which samples, in their order.
        longest: Tokens of a row.
        tokens: Where their tokens stand in the stream, on the device.
        places: Where these stand in the rows, all in one line; on the device.
    """

    samples: tuple[int, ...]
    longest: int
    tokens: Int[Tensor, " n"]
    places: Int[Tensor, " n"]

    def lay(self, stream: Shaped[Tensor, "t *d"]) -> Shaped[Tensor, "s longest *d"]:
        """The rows of a stream, padded on the right with zeros."""
        rows = stream.new_zeros(len(self.samples) * self.longest, *stream.shape[1:])
        own = stream if len(self.tokens) == len(stream) else stream.index_select(0, self.tokens)
        return rows.index_copy(0, self.places, own).unflatten(0, (-1, self.longest))

    def to(self, device: torch.device | str) -> "Rows":
        """The same rows on a device."""
        return replace(self, tokens=to_device(self.tokens, device), places=to_device(self.places, device))


def rows_of(lengths: Sequence[int]) -> Iterator[Rows]:
    """Divide samples into rows of which little is padding, beginning with the longest."""
    starts, group, tokens = [0, *accumulate(lengths)], list[int](), 0
    for sample in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        if group and 1 - (tokens + lengths[sample]) / (lengths[group[0]] * (len(group) + 1)) > PADDING_LIMIT:
            yield _rows(group, starts)
            group, tokens = [], 0
        group.append(sample)
        tokens += lengths[sample]
    yield _rows(group, starts)


def _rows(samples: Sequence[int], starts: Sequence[int]) -> Rows:
    samples = sorted(samples)
    spans = [torch.arange(starts[sample], starts[sample + 1]) for sample in samples]
    longest = max(len(span) for span in spans)
    places = [torch.arange(len(span)) + row * longest for row, span in enumerate(spans)]
    return Rows(tuple(samples), longest, torch.cat(spans), torch.cat(places))


@dataclass(frozen=True, eq=False)
class Segments:
    """The samples of a packed stream, which is one row in which they stand one after the other.

    For example, samples of 3 and 5 tokens have the cumulative lengths `[0, 3, 8]` and the positions
    `[[0, 1, 2, 0, 1, 2, 3, 4]]`. Lengths stay on the host, so that no layer has to wait for the device to learn them.

    Args:
        lengths: Tokens of each sample.
        cumulative: Their sums, from 0, int32, on the device.
        positions: Place of each token in its own sample, on the device.
        rows: The samples, laid in rows.
        order: Place of each token behind those that stand before it in the rows; on the device.
        prefixes: Of each sample, how many of its first tokens see each other in both directions; empty where none do.
    """

    lengths: tuple[int, ...]
    cumulative: Int[Tensor, " s"]
    positions: Int[Tensor, "1 t"]
    rows: tuple[Rows, ...]
    order: Int[Tensor, " t"]
    prefixes: tuple[int, ...] = ()

    @classmethod
    def of(
        cls, lengths: Iterable[int], device: torch.device | str | None = None, *, prefixes: Sequence[int] = ()
    ) -> Self:
        """The segments of samples of these lengths."""
        lengths = tuple(lengths)
        cumulative = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)
        positions = torch.cat([torch.arange(length) for length in lengths])[None]
        rows = tuple(rows_of(lengths))
        order = torch.cat([own.tokens for own in rows]).argsort()
        segments = cls(lengths, cumulative, positions, rows, order, tuple(prefixes))
        return segments if device is None else segments.to(device)

    @property
    def longest(self) -> int:
        """Tokens of the longest sample."""
        return max(self.lengths)

    def to(self, device: torch.device | str) -> Self:
        """The same segments on a device."""
        moved: dict[str, Any] = {
            name: to_device(getattr(self, name), device) for name in ("cumulative", "positions", "order")
        }
        return replace(self, rows=tuple(own.to(device) for own in self.rows), **moved)

    def mask(self) -> "SegmentsMask":
        """The attention mask that brings the segments to `modalink.llms.attention`."""
        mask = self.cumulative[None, None, None].as_subclass(SegmentsMask)
        mask.segments = self
        return mask


class SegmentsMask(Tensor):
    """The cumulative lengths as an attention mask `[1, 1, 1, s]` that knows its segments.

    The mask is the one argument that every decoder hands on unchanged, if it is a tensor of four dimensions.
    """

    segments: Segments
    # What is computed of a mask is an ordinary tensor, as for `nn.Parameter`.
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]


class BothWaysMask(Tensor):
    """Which token sees which in padded rows of a prefix LM, `[b, 1, t, t]`; what a window hides, it does not know."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]


def both_ways(mask: Tensor, prefix: Bool[Tensor, "b t"]) -> BothWaysMask:
    """The attention mask of rows in which some tokens see each other in both directions.

    For example, of a row `[a, b, c, d]` whose prefix is `[a, b]`, a and b see a and b, c sees a, b and c, d sees all.

    Args:
        mask: 1 for tokens and 0 for padding, `[b, t]`.
        prefix: Which tokens these are.
    """
    length = mask.shape[1]
    place = torch.arange(length, device=mask.device)
    seen = (place[:, None] >= place) | (prefix[:, :, None] & prefix[:, None, :])
    seen = seen & mask.bool()[:, None, :]
    seen = seen | torch.eye(length, dtype=torch.bool, device=mask.device)  # padding sees itself, so that it is finite
    return seen[:, None].as_subclass(BothWaysMask)

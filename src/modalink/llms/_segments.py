"""Where the samples of a packed stream begin and end: known on the host and on the device, once a batch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Self

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from modalink.devices import to_device


@dataclass(frozen=True, eq=False)
class Segments:
    """The samples of a packed stream, which is one row in which they stand one after the other.

    For example, samples of 3 and 5 tokens have the cumulative lengths `[0, 3, 8]` and the positions
    `[[0, 1, 2, 0, 1, 2, 3, 4]]`. Lengths stay on the host, so that no layer has to wait for the device to learn them.

    Args:
        lengths: Tokens of each sample.
        cumulative: Their sums, from 0, int32, on the device.
        positions: Place of each token in its own sample, on the device.
        places: Place of each token in rows of the longest sample, one a sample, all in one line; on the device.
        prefixes: Of each sample, how many of its first tokens see each other in both directions; empty where none do.
    """

    lengths: tuple[int, ...]
    cumulative: Int[Tensor, " s"]
    positions: Int[Tensor, "1 t"]
    places: Int[Tensor, " t"]
    prefixes: tuple[int, ...] = ()

    @classmethod
    def of(
        cls, lengths: Iterable[int], device: torch.device | str | None = None, *, prefixes: Sequence[int] = ()
    ) -> Self:
        """The segments of samples of these lengths."""
        lengths = tuple(lengths)
        cumulative = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)
        within = [torch.arange(length) for length in lengths]
        places = torch.cat([places + row * max(lengths) for row, places in enumerate(within)])
        positions = torch.cat(within)[None].to(device)
        return cls(lengths, cumulative.to(device), positions, places.to(device), tuple(prefixes))

    @property
    def longest(self) -> int:
        """Tokens of the longest sample."""
        return max(self.lengths)

    def to(self, device: torch.device | str) -> "Segments":
        """The same segments on a device."""
        moved: dict[str, Any] = {
            name: to_device(getattr(self, name), device) for name in ("cumulative", "positions", "places")
        }
        return replace(self, **moved)

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

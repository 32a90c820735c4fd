"""Outputs of frozen modules: computed once an item, to bits that never depend on what stands beside the item."""

import hashlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from modalink.devices import to_device
from modalink.features.cache import FeatureCache, FeatureKey
from modalink.model.precision import autocast

Encode = Callable[[list[int]], Sequence[Tensor]]
"""Gives the outputs of the items at some places."""


def numerics(device: torch.device, chunk: int) -> str:
    """What decides the last bits of a feature besides its key: the machine, the library, and the shape computed in.

    The CPU's threads are part of that where it computes; beside an accelerator they decide nothing.
    """
    if device.type == "cpu":
        name, threads = torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()
    else:
        name, threads = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type, 0
    parts = (torch.__version__, device.type, name, threads, chunk)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Once:
    """The feature cache, with what it takes to fill it.

    A run that is resumed with an empty cache meets its items in other company, and must still see the same bits. Chunks
    have one shape, so an item's bits could only depend on its place in the chunk; where they do (seen on a CPU with two
    threads), items are computed alone.

    Args:
        cache: Where outputs are kept; its chunks are the largest number of items computed together.
        dtype: What is computed in, see `precision.resolve`.
        device: Where the outputs are needed.
    """

    cache: FeatureCache
    dtype: torch.dtype
    device: torch.device
    _steady: dict[Hashable, bool] = field(default_factory=dict)

    def get(
        self, key: FeatureKey, digests: Sequence[str], encode: Encode, kinds: Sequence[Hashable] | None = None
    ) -> list[Tensor]:
        """Outputs of items, from the cache where it has them.

        Args:
            key: The module's key.
            digests: SHA-256 of each item.
            encode: Computes items.
            kinds: What decides each item's shape, if not all items of the module have the same.
        """

        @torch.no_grad()
        def compute(places: list[int]) -> Sequence[Tensor]:
            kind = None if kinds is None else kinds[places[0]]
            with autocast(self.dtype, self.device):
                if self.is_steady((key.sha256, kind), encode, places):
                    return encode(places)
                alone = {place: encode([place])[0] for place in dict.fromkeys(places)}
                return [alone[place] for place in places]

        return [to_device(found, self.device) for found in self.cache.get(key, digests, compute, kinds)]

    def is_steady(self, kind: Hashable, encode: Encode, places: list[int]) -> bool:
        """Whether an item comes out the same at every place of a chunk: copies of one item must be equal."""
        if len(places) == 1:
            return True
        if kind not in self._steady:
            first, *others = encode(places[:1] * len(places))
            self._steady[kind] = all(torch.equal(first, other) for other in others)
        return self._steady[kind]

"""Caches that note what they are asked for: one that fills itself, and one that only weighs."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from torch import Tensor

from modalink.errors import MediumError
from modalink.features.cache import FeatureCache, FeatureKey
from modalink.features.disk import DiskFeatures
from modalink.training.caching.work import Kept

Compute = Callable[[list[int]], Sequence[Tensor]]


class NotingCache(FeatureCache):
    """A cache on disk alone that notes what is kept in it.

    Args:
        disk: Where features are kept.
        chunk: How many items are computed at a time.
    """

    def __init__(self, disk: DiskFeatures, chunk: int) -> None:
        super().__init__(disk, memory_bytes=0, chunk=chunk)
        self.parts: dict[FeatureKey, str] = {}
        """The part that a key belongs to."""
        self.tokens: dict[FeatureKey, Callable[[Any], int]] = {}
        """How many tokens an encoder makes of an item of some layout."""
        self.noted: list[Kept] = []

    def get(
        self, key: FeatureKey, digests: Sequence[str], compute: Compute, kinds: Sequence[Hashable] | None = None
    ) -> list[Tensor]:
        """As `FeatureCache.get`."""
        computed: set[str] = set()

        def noted(places: list[int]) -> Sequence[Tensor]:
            computed.update(digests[i] for i in places)
            return compute(places)

        found = super().get(key, digests, noted, kinds)
        for number, (digest, feature) in enumerate(zip(digests, found, strict=True)):
            tokens = self._tokens(key, None if kinds is None else kinds[number])
            self.noted.append(
                Kept(self.parts[key], f"{key.sha256}/{digest}", tokens, feature.nbytes, digest in computed)
            )
        return found

    def _tokens(self, key: FeatureKey, kind: Hashable) -> int:
        return self.tokens[key](kind) if key in self.tokens else 0


class WeighingCache(NotingCache):
    """A cache that computes one item of each encoder, and of each shape that a generator makes, and keeps nothing.

    The others' size follows from how many tokens their layout has. What it gives is of the right type, and of no use.
    """

    def __init__(self, disk: DiskFeatures, chunk: int) -> None:
        super().__init__(disk, chunk)
        self._probes: dict[tuple[FeatureKey, Hashable], tuple[Tensor, int]] = {}

    def get(
        self, key: FeatureKey, digests: Sequence[str], compute: Compute, kinds: Sequence[Hashable] | None = None
    ) -> list[Tensor]:
        """Something of the type of each feature."""
        found = []
        for number, digest in enumerate(digests):
            kind = None if kinds is None else kinds[number]
            tokens, name = self._tokens(key, kind), (key, None if key in self.tokens else kind)
            if name not in self._probes:
                try:
                    self._probes[name] = compute([number])[0], tokens
                except MediumError:  # the one that fills will leave it out
                    continue
            probe, probed = self._probes[name]
            size = probe.nbytes // probed * tokens if probed else probe.nbytes
            self.noted.append(
                Kept(self.parts[key], f"{key.sha256}/{digest}", tokens, size, not self.holds(key, digest))
            )
            found.append(probe.cpu())
        return found

"""Outputs of frozen modules, computed once.

They are a pure function of weights, preprocessing and content, and are stored under the hash of all three.
"""

import hashlib
import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Self

import torch
from torch import Tensor

from modalink.features.disk import DiskFeatures

_SLAB = 64 * 2**20
"""Bytes that the memory takes at a time; the system gives them when they are written to."""
_ALIGNED = 64
"""Where a feature may begin, in bytes, as PyTorch's own tensors do."""


@dataclass(frozen=True)
class FeatureKey:
    """What, besides the content, decides a feature; made by `of` alone, so that nothing can be left out by hand."""

    sha256: str

    @classmethod
    def of(
        cls, weights: str, settings: Mapping[str, Any], preprocessing: Mapping[str, Any], dtype: torch.dtype
    ) -> Self:
        """The key of a frozen module.

        Args:
            weights: SHA-256 of its weights, as `tensor_files.weights_digest` gives.
            settings: All else that decides its output, for example which layer is taken, as JSON data.
            preprocessing: The preprocessor's `to_dict()`.
            dtype: Arithmetic that it computes in.
        """
        parts = {"weights": weights, "settings": settings, "preprocessing": preprocessing, "dtype": str(dtype)}
        return cls(hashlib.sha256(json.dumps(parts, sort_keys=True, allow_nan=False).encode()).hexdigest())


class FeatureCache:
    """Features by key and content, in memory and on disk.

    A full memory takes nothing new: an epoch visits each item once, so that throwing out the least recently used would
    always throw out what comes next.

    Args:
        disk: Where features are kept between runs; None keeps them in memory alone.
        memory_bytes: Most bytes of features in memory.
        chunk: How many items are computed at a time. Always as many, because the last bits of a feature may hang on the
            shape that it is computed in, and must not hang on what else was missing. A GPU wants more than one.
    """

    def __init__(
        self,
        disk: DiskFeatures | None = None,
        *,
        memory_bytes: int = 2 * 2**30,
        chunk: int = 1,
    ) -> None:
        self._memory = _Memory(memory_bytes)
        self._disk = disk
        self._disk_lock = Lock()  # threads that read ahead ask what is held
        self.chunk = chunk

    def get(
        self,
        key: FeatureKey,
        digests: Sequence[str],
        compute: Callable[[list[int]], Sequence[Tensor]],
        kinds: Sequence[Hashable] | None = None,
    ) -> list[Tensor]:
        """Features of items, from the cache where it has them.

        Args:
            key: The frozen module's key.
            digests: SHA-256 of each item's preprocessed values.
            compute: Gives the features of the items at `chunk` places, some perhaps named twice to fill the chunk.
            kinds: What tells items apart that must not be computed together, because they differ in shape.

        Returns:
            The features on the CPU, in the order of the digests.
        """
        names = [f"{key.sha256}/{digest}" for digest in digests]
        loaded = {name: self._load(name) for name in dict.fromkeys(names)}
        found = {name: feature for name, feature in loaded.items() if feature is not None}
        missing = [name for name in loaded if name not in found]
        for group in self._chunks(missing, {} if kinds is None else dict(zip(names, kinds, strict=True))):
            filled = (group * self.chunk)[: self.chunk]
            computed = compute([names.index(name) for name in filled])
            for name, feature in zip(group, computed, strict=False):
                # Its own memory: a row would keep the whole chunk alive.
                found[name] = feature.detach().cpu().clone()
                self._store(name, found[name])
        return [found[name] for name in names]

    def holds(self, key: FeatureKey, digest: str) -> bool:
        """Whether an item's feature need not be computed."""
        if f"{key.sha256}/{digest}" in self._memory:
            return True
        with self._disk_lock:
            return self._disk is not None and self._disk.contains(key.sha256, digest)

    def _chunks(self, names: list[str], kinds: Mapping[str, Hashable]) -> Iterator[list[str]]:
        """Names of one kind, at most a chunk at a time."""
        groups: dict[Hashable, list[str]] = {}
        for name in names:
            groups.setdefault(kinds.get(name), []).append(name)
        for group in groups.values():
            yield from (group[start : start + self.chunk] for start in range(0, len(group), self.chunk))

    def flush(self) -> None:
        """Write to the disk what waits to be written; to be called when a run ends."""
        if self._disk is not None:
            with self._disk_lock:
                self._disk.flush()

    def _store(self, name: str, feature: Tensor) -> None:
        self._memory.put(name, feature)
        if self._disk is not None:
            key, digest = name.split("/")
            with self._disk_lock:
                self._disk.put(key, digest, feature)

    def _load(self, name: str) -> Tensor | None:
        feature = self._memory.get(name)
        if feature is None and self._disk is not None:
            key, digest = name.split("/")
            with self._disk_lock:
                feature = self._disk.get(key, digest)
        return feature


class _Memory:
    """Features that lie side by side in slabs.

    Each in an allocation of its own, among those of the steps, thousands of them would cut the free memory into pieces,
    through which every allocation of the later steps then searches.
    """

    def __init__(self, limit: int) -> None:
        self._room = limit
        self._features: dict[str, Tensor] = {}
        self._free = torch.empty(0, dtype=torch.uint8)

    def __contains__(self, name: str) -> bool:
        return name in self._features

    def get(self, name: str) -> Tensor | None:
        return self._features.get(name)

    def put(self, name: str, feature: Tensor) -> None:
        size = -(-feature.nbytes // _ALIGNED) * _ALIGNED
        if size > self._room:
            return
        self._room -= size
        if size > len(self._free):
            self._free = torch.empty(max(size, _SLAB), dtype=torch.uint8)
        place, self._free = self._free[: feature.nbytes], self._free[size:]
        self._features[name] = place.view(feature.dtype).view(feature.shape).copy_(feature)

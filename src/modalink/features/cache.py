"""Outputs of frozen modules, computed once.

They are a pure function of weights, preprocessing and content, and are stored under the hash of all three.
"""

import hashlib
import json
import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from modalink import tensor_files

_log = logging.getLogger(__name__)


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
            weights: SHA-256 of its weights, as `weights_digest` gives.
            settings: All else that decides its output, for example which layer is taken, as JSON data.
            preprocessing: The preprocessor's `to_dict()`.
            dtype: Arithmetic that it computes in.
        """
        parts = {"weights": weights, "settings": settings, "preprocessing": preprocessing, "dtype": str(dtype)}
        return cls(hashlib.sha256(json.dumps(parts, sort_keys=True, allow_nan=False).encode()).hexdigest())


def weights_digest(module: nn.Module) -> str:
    """SHA-256 over names, dtypes, shapes and values of all parameters and buffers, as they are now.

    Of the module in memory rather than of its checkpoint: an earlier stage may have trained it.
    """
    return tensor_files.digest({**dict(module.named_parameters()), **dict(module.named_buffers())})


class FeatureCache:
    """Features by key and content, in memory and, given a folder, on disk.

    A full cache keeps what this process has used and takes nothing new: an epoch visits each item once, so that
    throwing out the least recently used would always throw out what comes next. On disk, what this process has not
    used yet makes room, least recently used first.

    Args:
        folder: Where features are kept between runs; None keeps them in memory alone.
        memory_bytes: Most bytes of features in memory.
        disk_bytes: Most bytes of files.
        chunk: How many items are computed at a time. Always as many, because the last bits of a feature may hang on the
            shape that it is computed in, and must not hang on what else was missing. A GPU wants more than one.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        memory_bytes: int = 2 * 2**30,
        disk_bytes: int = 50 * 2**30,
        chunk: int = 1,
    ) -> None:
        self._memory = _Memory(memory_bytes)
        self._disk = None if folder is None else _Disk(folder, disk_bytes)
        self._chunk = chunk

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
            filled = (group * self._chunk)[: self._chunk]
            computed = compute([names.index(name) for name in filled])
            for name, feature in zip(group, computed, strict=False):
                # Its own memory: a row would keep the whole chunk alive.
                found[name] = feature.detach().cpu().clone()
                self._store(name, found[name])
        return [found[name] for name in names]

    def holds(self, key: FeatureKey, digest: str) -> bool:
        """Whether an item's feature need not be computed."""
        name = f"{key.sha256}/{digest}"
        return name in self._memory or (self._disk is not None and name in self._disk)

    def _chunks(self, names: list[str], kinds: Mapping[str, Hashable]) -> Iterator[list[str]]:
        """Names of one kind, at most a chunk at a time."""
        groups: dict[Hashable, list[str]] = {}
        for name in names:
            groups.setdefault(kinds.get(name), []).append(name)
        for group in groups.values():
            yield from (group[start : start + self._chunk] for start in range(0, len(group), self._chunk))

    def _store(self, name: str, feature: Tensor) -> None:
        self._memory.put(name, feature)
        if self._disk is not None:
            self._disk.put(name, feature)

    def _load(self, name: str) -> Tensor | None:
        feature = self._memory.get(name)
        if feature is None and self._disk is not None:
            feature = self._disk.get(name)
            if feature is not None:
                self._memory.put(name, feature)
        return feature


class _Memory:
    def __init__(self, limit: int) -> None:
        self._room = limit
        self._features: dict[str, Tensor] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._features

    def get(self, name: str) -> Tensor | None:
        return self._features.get(name)

    def put(self, name: str, feature: Tensor) -> None:
        if feature.nbytes <= self._room:
            self._room -= feature.nbytes
            self._features[name] = feature


class _Disk:
    """A safetensors file for each feature, with its name and the SHA-256 of its values; written whole or not at all."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        files = [(file, file.stat()) for file in folder.glob("*/*/*.safetensors")]
        files.sort(key=lambda pair: pair[1].st_mtime_ns)
        self._unused: OrderedDict[Path, int] = OrderedDict((file, status.st_size) for file, status in files)
        self._room = limit - sum(self._unused.values())

    def __contains__(self, name: str) -> bool:
        return self._path(name).is_file()

    def get(self, name: str) -> Tensor | None:
        path = self._path(name)
        try:
            with safe_open(path, framework="pt") as file:
                feature: Tensor = file.get_tensor("feature")
                told = file.metadata() or {}
        except (OSError, SafetensorError):
            return None
        if told.get("name") != name or told.get("sha256") != _values_digest(feature):
            _log.warning("%s is corrupt and is made anew", path)
            return None
        self._touch(path)
        return feature

    def put(self, name: str, feature: Tensor) -> None:
        path = self._path(name)
        self._room += self._unused.pop(path, 0)  # a corrupt file that is written over
        if not self._make_room(feature.nbytes + 512):
            return
        beside = path.with_name(f"{uuid4().hex}.new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            tensor_files.save({"feature": feature}, beside, {"name": name, "sha256": _values_digest(feature)})
            size = beside.stat().st_size
            os.replace(beside, path)
            self._room -= size
        except (OSError, SafetensorError) as error:
            beside.unlink(missing_ok=True)
            self._room = 0
            _log.warning("features are no longer kept in %s: %s", self._folder, error)

    def _path(self, name: str) -> Path:
        key, _, digest = name.partition("/")
        return self._folder / key / digest[:2] / f"{digest}.safetensors"

    def _make_room(self, size: int) -> bool:
        while self._room < size and self._unused:
            path, freed = self._unused.popitem(last=False)
            path.unlink(missing_ok=True)
            self._room += freed
        return self._room >= size

    def _touch(self, path: Path) -> None:
        self._unused.pop(path, None)
        try:
            os.utime(path)
        except OSError:
            return  # another process made room; the feature is already read


def _values_digest(feature: Tensor) -> str:
    return hashlib.sha256(_raw(feature)).hexdigest()


def _raw(values: Tensor) -> memoryview:
    return values.contiguous().reshape(-1).view(torch.uint8).numpy().data

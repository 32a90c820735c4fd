"""A modality that a package of its own brings: depth maps, `[h w]` float arrays in `.npy` files."""

import hashlib
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from modalink import kinds, modalities
from modalink.errors import MediumError
from modalink.modalities.image import RECORD as IMAGE
from modalink.roles import MediumHandle


class DepthHandle(MediumHandle):
    def __init__(self, source, label):
        super().__init__(label)
        self.source = source

    @property
    def digest(self):
        return hashlib.sha256(self.read().tobytes()).hexdigest()

    @property
    def extent(self):
        return "x".join(map(str, self.read().shape))

    def read(self):
        if isinstance(self.source, np.ndarray):
            return self.source
        try:
            return np.load(BytesIO(self.source) if isinstance(self.source, bytes) else self.source)
        except (EOFError, OSError, ValueError) as error:
            raise MediumError(self.label, "unreadable", f"{self.label} holds no depth map: {error}") from error


def open_depth(source, name=None):
    if isinstance(source, DepthHandle):
        return source
    if not isinstance(source, np.ndarray | bytes | Path | str):
        raise MediumError(name or "depth", "unsupported", f"found a {type(source).__name__}")
    return DepthHandle(source, name or str(source))


DEPTH = replace(
    IMAGE, name="depth", plural="depths", blocks=("depth_map",), placeholder="<depth>", signal="[DEPTH{}]",
    argument="depth_values", suffixes=(".npy",), written=".npy", formats=(), describe=("How far is it?",), open=open_depth,
    write=lambda values, path: np.save(path, values), example=lambda number: np.ones((4, 3 + number), np.float32),
)  # fmt: skip


def _forget() -> None:
    kinds.kinds.cache_clear()
    modalities.get.cache_clear()
    modalities.records.cache_clear()


@pytest.fixture
def plug_in(monkeypatch):
    """Offers an object under a name in the entry point group of modalities."""

    def offer(name, value):
        monkeypatch.setitem(sys.modules, "depth_plugin", SimpleNamespace(THING=value))
        point = EntryPoint(name=name, value="depth_plugin:THING", group="modalink.modalities")
        monkeypatch.setattr(kinds, "entry_points", lambda group: [point] if group == point.group else [])
        _forget()

    yield offer
    monkeypatch.undo()
    _forget()


@pytest.fixture
def depth(plug_in):
    """The table with depth maps beside what ships."""
    plug_in("depth", DEPTH)
    return DEPTH

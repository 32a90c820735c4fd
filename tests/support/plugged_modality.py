"""A modality that a package of its own brings: depth maps, `[h w]` float arrays in `.npy` files."""

import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import numpy as np
import pytest

from modalink import kinds, modalities
from modalink.errors import MediumError
from modalink.modalities.image import RECORD as IMAGE


def read(source, name=None):
    if isinstance(source, np.ndarray):
        return source
    try:
        return np.load(source)
    except (OSError, ValueError, TypeError) as error:
        raise MediumError(name or str(source), "unreadable", f"holds no depth map: {error}") from error


DEPTH = replace(
    IMAGE, name="depth", plural="depths", blocks=("depth_map",), placeholder="<depth>", signal="[DEPTH{}]",
    argument="depth_values", suffixes=(".npy",), written=".npy", describe=("How far is it?",), read=read,
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

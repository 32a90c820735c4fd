"""The table of modalities: found by file, extended by entry point, wrong names answered."""

from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

from modalink import kinds, modalities
from modalink.errors import RecipeError, UnknownNameError
from modalink.modalities.image import RECORD as IMAGE


@pytest.fixture
def plug_in(monkeypatch):
    """Offers an object under a name in the entry point group of modalities."""

    def offer(name, value):
        import sys

        monkeypatch.setitem(sys.modules, "depth_plugin", SimpleNamespace(THING=value))
        point = EntryPoint(name=name, value="depth_plugin:THING", group="modalink.modalities")
        monkeypatch.setattr(kinds, "entry_points", lambda group: [point])
        kinds.kinds.cache_clear()
        modalities.get.cache_clear()

    yield offer
    monkeypatch.undo()
    kinds.kinds.cache_clear()
    modalities.get.cache_clear()


def test_image_is_a_row_of_the_table():
    record = modalities.get("image")
    assert "image" in modalities.names()
    assert (record.placeholder, record.signal.format(2), record.argument) == ("<image>", "[IMG2]", "pixel_values")


def test_helpers_beside_the_modalities_are_none():
    assert not [name for name in modalities.names() if name.startswith("_")]


def test_unknown_modality_offers_the_nearest():
    with pytest.raises(UnknownNameError, match="'imgae'; did you mean 'image'"):
        modalities.get("imgae")


def test_a_plug_in_adds_a_row(plug_in):
    from dataclasses import replace

    depth = replace(IMAGE, name="depth", placeholder="<depth>")
    plug_in("depth", depth)
    assert modalities.get("depth") is depth
    assert set(modalities.names()) >= {"depth", "image"}


def test_a_plug_in_of_another_name_is_refused(plug_in):
    plug_in("depth", IMAGE)
    with pytest.raises(RecipeError, match="needed a ModalityRecord with the name 'depth'"):
        modalities.get("depth")

"""The table of modalities: found by file, extended by entry point, wrong names answered."""

from dataclasses import replace

import pytest

from modalink import modalities
from modalink.errors import RecipeError, UnknownNameError
from modalink.modalities.image import RECORD as IMAGE
from modalink.testing import check_modality


def test_image_is_a_row_of_the_table():
    record = modalities.get("image")
    assert "image" in modalities.names()
    assert (record.placeholder, record.signal.format(2), record.argument) == ("<image>", "[IMG2]", "pixel_values")


def test_helpers_beside_the_modalities_are_none():
    assert not [name for name in modalities.names() if name.startswith("_")]


def test_unknown_modality_offers_the_nearest():
    with pytest.raises(UnknownNameError, match="'imgae'; did you mean 'image'"):
        modalities.get("imgae")


def test_a_plug_in_adds_a_row(depth):
    assert modalities.get("depth") is depth
    assert list(modalities.names()) == sorted({*modalities.names(), "depth", "image"})
    assert [record for record in modalities.records() if record.name in ("depth", "image")] == [depth, IMAGE]


def test_a_block_is_of_the_modality_whose_record_lists_it(depth):
    kinds = ("image", "image_url", "input_image", "depth", "depth_map", "smell")
    assert [modalities.of_block(kind) for kind in kinds] == ["image", "image", "image", "depth", "depth", "smell"]


@pytest.mark.parametrize(
    ("same", "trait"),
    [
        ({"placeholder": "<image>"}, "placeholder '<image>'"),
        ({"argument": "pixel_values"}, "argument 'pixel_values'"),
        ({"plural": "images"}, "plural 'images'"),
        ({"blocks": ("image_url",)}, "type of block 'image_url'"),
    ],
)
def test_two_modalities_that_would_be_taken_for_each_other_are_refused(depth, plug_in, same, trait):
    plug_in("depth", replace(depth, **same))
    with pytest.raises(RecipeError, match=f"'depth' and 'image' have the same {trait}"):
        modalities.records()


def test_a_plug_in_of_another_name_is_refused(plug_in):
    plug_in("depth", IMAGE)
    with pytest.raises(RecipeError, match="needed a ModalityRecord with the name 'depth'"):
        modalities.get("depth")


def test_a_plugged_in_modality_keeps_the_promises_of_all(depth):
    check_modality(depth)

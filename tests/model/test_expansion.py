"""How media are written in tokens: placeholders, and the recipe's marks."""

import pytest
from pydantic import ValidationError

from modalink.model.expansion import ItemText, expand
from modalink.model.prepared import IGNORED
from modalink.ragged import Layout
from modalink.recipe import MarksSpec

IMAGE = 7


def code_points(text):
    return [ord(c) for c in text]


def written(layout, **marks):
    ids = ItemText(IMAGE, MarksSpec(**marks), code_points).ids(layout)
    return "".join("I" if token == IMAGE else chr(token) for token in ids)


def test_without_marks_a_placeholder_stands_for_each_prompt_token():
    assert written(Layout(2, (3, 4))) == "IIIIIII"


def test_marks_stand_around_an_item_and_between_its_rows():
    assert written(Layout(1, (6,), grid=(2, 3)), begin="B", end="E", between_rows="/") == "BIII/IIIE"


def test_tiles_and_their_rows_are_told_apart_and_the_whole_image_stands_first():
    layout = Layout(5, (1,) * 5, tiles=(2, 2))
    assert written(layout, between_blocks=",", between_tile_rows=";") == "I,I,I;I,I"
    assert written(Layout(4, (1,) * 4, tiles=(2, 2)), between_blocks=",", between_tile_rows=";") == "I,I;I,I"


def test_the_whole_image_may_stand_last_and_a_merged_one_has_rows_of_its_own():
    last = Layout(5, (1,) * 5, tiles=(2, 2), thumbnail_last=True)
    assert written(last, between_blocks=",", between_tile_rows=";") == "I,I;I,I,I"
    merged = Layout(3, (2, 6), grids=((1, 2), (2, 3)), tiles=(1, 1))
    assert written(merged, between_blocks=",", between_rows="/", between_tile_rows=";") == "II,III/III"


def test_frames_are_numbered_and_timed():
    layout = Layout(3, (2, 2, 2), times_s=(0.0, 1.5, 3.0))
    assert written(layout, before_block="{number}@{time:.1f}:") == "1@0.0:II2@1.5:II3@3.0:II"


@pytest.mark.parametrize("text", ["{frame}", "{number", "{time:x}"])
def test_a_mark_that_cannot_be_filled_is_refused(text):
    with pytest.raises(ValidationError, match=r"needed text with \{number\}"):
        MarksSpec(before_block=text)


def test_items_are_spelled_out_in_their_order_without_loss_and_are_never_cut():
    items = {IMAGE: [[IMAGE] * 2, [66, IMAGE, 69]]}
    found = expand([1, IMAGE, 2, IMAGE, 3], [1, 7, 2, 7, 3], items, {})
    assert found.ids == [1, IMAGE, IMAGE, 2, 66, IMAGE, 69, 3]
    assert found.labels == [1, IGNORED, IGNORED, 2, IGNORED, IGNORED, IGNORED, 3]
    assert found.fixed == [False, True, True, False, True, True, True, False]


def test_of_a_run_of_signal_tokens_the_first_is_learned():
    found = expand([1, 20, 21, 22], [1, 20, 21, 22], {}, {20: False, 21: True, 22: True})
    assert found.labels == [1, 20, IGNORED, IGNORED]
    assert found.fixed == [False, True, True, True]

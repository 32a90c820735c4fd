"""Questions about places: the box is the object's, the question means that object alone, nothing else is changed."""

import numpy as np
import pytest

from modalink.conversation import Medium, Region, Text
from modalink.data.sources.tiny_world import TinyWorldConfig
from modalink.tiny_world import PLACE_KINDS, Scene, WorldObject, render, sample_scene, split_of
from modalink.tiny_world.locating import ask_place, sample_place_questions
from modalink.tiny_world.rendering import RGB, object_boxes, object_mask


@pytest.mark.parametrize("seed", range(12))
def test_boxes_are_tight_around_what_each_object_paints(seed):
    scene = sample_scene(seed, "train")
    inside = np.zeros((64, 64), bool)
    for (left, top, right, bottom), item in zip(object_boxes(scene), scene.objects, strict=True):
        assert 0 <= left < right <= 64 and 0 <= top < bottom <= 64
        assert not inside[top:bottom, left:right].any()
        inside[top:bottom, left:right] = True
        alone = object_mask(Scene((item,), scene.background)) >= 0.5
        rows, columns = np.nonzero(alone)
        # Alone it is shaken otherwise than among others, by at most two pixels.
        edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert np.abs(np.subtract(edges, (left, top, right, bottom))).max() <= 3
        assert item.column == int((left + right) / 2 * 3 // 64) and item.row == int((top + bottom) / 2 * 3 // 64)
    assert not (object_mask(scene) >= 0.5)[~inside].any()


def test_a_box_holds_the_colour_of_its_object():
    scene = Scene((WorldObject("square", "red", "large", "left"), WorldObject("circle", "blue", "small", "right")), 5)
    for (left, top, right, bottom), item in zip(object_boxes(scene), scene.objects, strict=True):
        middle = render(scene)[(top + bottom) // 2, (left + right) // 2].astype(int)
        assert np.abs(middle - RGB[item.colour]).max() <= 12


def test_questions_come_in_turn_and_hold_their_box_once():
    asked = sample_place_questions("test", 40, 0)
    assert [item.kind for item in asked] == [*PLACE_KINDS] * 20
    assert asked == sample_place_questions("test", 40, 0) != sample_place_questions("test", 40, 1)
    assert len({item.scene for item in asked}) == 40
    for item in asked:
        assert (item.text + item.answer).count("<bbox>") == 1
        assert ("<bbox>" in item.answer) == (item.kind == "locate")
        assert item.box in object_boxes(item.scene)
        assert any(split_of(thing) == "test" for thing in item.scene.objects)


def test_an_object_without_a_name_of_its_own_is_not_asked_for():
    twins = Scene((WorldObject("ring", "red", "large", "left"), WorldObject("ring", "red", "large", "right")), 5)
    asked = [ask_place(twins, np.random.default_rng(seed), "locate") for seed in range(20)]
    # Only by where it lies does one of them differ from the other.
    for item in asked:
        assert ("on the left" in item.text) != ("on the right" in item.text)


def test_the_source_gives_pictures_with_regions():
    source = TinyWorldConfig(count=40, tasks=["locate", "region"], objects=[2, 3]).open()
    kinds = set()
    for index in range(40):
        user, assistant = source[index].turns
        picture, line, *question = user.content
        assert isinstance(picture, Medium) and line.text.startswith("\n")
        regions = [piece for piece in (*question, *assistant.content) if isinstance(piece, Region)]
        assert len(regions) == 1 and regions[0].image is None
        assert all("<bbox>" not in piece.text for piece in (line, *question, *assistant.content))
        kinds.add(isinstance(assistant.content[0], Region))
        assert isinstance(assistant.content[0], Region | Text)
    assert kinds == {True, False}


def test_boxes_are_of_pictures_alone():
    with pytest.raises(ValueError, match="found the tasks locate of which none is about video"):
        TinyWorldConfig(tasks=["locate"], shows=["video"])

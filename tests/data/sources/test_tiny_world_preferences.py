"""Preferences of the tiny world: right replies beside wrong ones, by rules alone."""

import pytest

from modalink import kinds, tiny_world
from modalink.data.sources.tiny_world_preferences import TinyWorldPreferences


def _opened(**settings) -> TinyWorldPreferences:
    data = {"source": "tiny_world_preferences", "count": 60, **settings}
    return kinds.parse("modalink.data.sources", data, key="source").open()


def _replies(preference) -> list[str]:
    return ["".join(piece.text for turn in side.reply for piece in turn.content) for side in preference.sides]


@pytest.mark.parametrize("split", tiny_world.SPLITS)
def test_each_is_a_function_of_its_number_and_the_better_reply_is_the_true_one(split: str) -> None:
    source, again = _opened(split=split), _opened(split=split)
    assert len(source) == 60
    for index in range(60):
        preference = source[index]
        assert (preference.sides, preference.facts) == (again[index].sides, again[index].facts)
        assert preference.turns[0].text == again[index].turns[0].text
        better, worse = _replies(preference)
        assert better != worse
        if preference.facts["task"] == "caption":
            objects = tuple(tiny_world.WorldObject(**item) for item in preference.facts["objects"])
            assert better == tiny_world.describe(tiny_world.Scene(objects, 0))
    assert {source[index].facts["task"] for index in range(60)} == {"caption", "vqa"}
    assert source[0].id != source[1].id
    assert _opened(split=split, seed=1)[0].sides != source[0].sides


def test_answers_are_paired_with_a_wrong_one_of_their_sort() -> None:
    source = _opened(tasks=["vqa"], count=200)
    sorts = [{"yes", "no"}, {*tiny_world.COLOURS}, {*tiny_world.SHAPES}, {*tiny_world.SIZES}]
    for index in range(200):
        pair = {*_replies(source[index])}
        assert len(pair) == 2
        assert any(pair <= sort for sort in sorts) or all(len(word) <= 5 for word in pair)


def _told(caption: str) -> int:
    """How many objects a caption tells of: each has one shape."""
    return sum(caption.count(shape) for shape in tiny_world.SHAPES)


def test_worse_captions_have_the_faults_that_are_asked_for() -> None:
    for fault in ("invented", "attribute"):
        source = _opened(tasks=["caption"], faults=[fault])
        more = 0
        for index in range(60):
            better, worse = (_told(text) for text in _replies(source[index]))
            assert better == len(source[index].facts["objects"])
            assert worse - better in ((0, 1) if fault == "invented" else (0,))
            more += worse > better
        assert (more > 20) == (fault == "invented")


def test_several_replies_have_ever_more_faults_and_falling_scores() -> None:
    source = _opened(tasks=["caption"], replies=4)
    for index in range(30):
        sides = source[index].sides
        assert [side.score for side in sides] == [0.0, -1.0, -2.0, -3.0]
        assert len({*_replies(source[index])}) == 4


def test_tasks_and_faults_stand_once() -> None:
    with pytest.raises(ValueError, match="needed each at most once"):
        _opened(tasks=["vqa", "vqa"])


def test_drawings_are_paired_with_one_that_has_a_fault() -> None:
    """Both replies say the same; the better shows what was asked, the worse one object otherwise."""
    source = _opened(tasks=["draw"], faults=["attribute"], count=20)
    for index in range(20):
        preference = source[index]
        (better, good), (worse, bad) = (side.reply[0].content for side in preference.sides)
        objects = tuple(tiny_world.WorldObject(**item) for item in preference.facts["objects"])
        assert better == worse and better.text == tiny_world.drawing_reply(tiny_world.Scene(objects, 0))
        assert good.use != "read" and good.caption == tiny_world.describe(tiny_world.Scene(objects, 0)) != bad.caption
        assert good.source.shape == bad.source.shape and (good.source != bad.source).any()
        assert all(turn.role != "user" for turn, _ in preference.media("image"))

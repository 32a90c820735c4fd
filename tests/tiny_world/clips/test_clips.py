"""Clips: what the frames show, splits, and answers that follow from the actors."""

import itertools

import numpy as np
import pytest

from modalink.tiny_world import SPLITS
from modalink.tiny_world.clips.actors import ACTIONS, Actor, ClipScene, sample_clip, split_of
from modalink.tiny_world.clips.animation import FRAMES, animate
from modalink.tiny_world.clips.language import KINDS, clip_questions, describe_clip


def _single(action: str, when: str = "slowly", shape: str = "square", size: str = "large") -> ClipScene:
    return ClipScene((Actor(shape, "red", size, action, when, "center"),), background=5)


def _red(frame: np.ndarray) -> np.ndarray:
    """Where a frame is red."""
    rgb = frame.astype(int)
    return (rgb[..., 0] - rgb[..., 1] > 60) & (rgb[..., 0] - rgb[..., 2] > 60)


def _track(clip: ClipScene) -> list[tuple[float, float, int]]:
    """Row, column and area of what is red in each frame; -1 where nothing is."""
    found = []
    for frame in animate(clip):
        rows, columns = np.nonzero(_red(frame))
        found.append((rows.mean(), columns.mean(), len(rows)) if len(rows) else (-1.0, -1.0, 0))
    return found


@pytest.mark.parametrize(
    ("action", "axis", "sign"),
    [("moves leftward", 1, -1), ("moves rightward", 1, 1), ("rises", 0, -1), ("falls", 0, 1)],
)
def test_what_moves_goes_its_way_and_no_other(action: str, axis: int, sign: int) -> None:
    track = _track(_single(action))
    assert sign * (track[-1][axis] - track[0][axis]) > 10
    assert abs(track[-1][1 - axis] - track[0][1 - axis]) < 1
    assert all(sign * (after[axis] - before[axis]) > 0.5 for before, after in itertools.pairwise(track))


def test_what_grows_and_shrinks_changes_its_area_alone() -> None:
    for action, order in (("grows", 1), ("shrinks", -1)):
        track = _track(_single(action))
        assert (track[-1][2] / track[0][2]) ** order > 2
        assert abs(track[-1][0] - track[0][0]) < 1


def test_what_appears_vanishes_and_blinks_is_not_seen_at_its_time() -> None:
    areas = {action: [area > 0 for _, _, area in _track(_single(action))] for action in ACTIONS[-3:]}
    assert areas["appears"] == [False] * 4 + [True] * 4
    assert areas["vanishes"] == [True] * 4 + [False] * 4
    assert areas["blinks"] == [True, False] * 4


def test_what_turns_stays_where_it_is_and_changes_its_outline() -> None:
    frames = animate(_single("turns", shape="triangle"))
    assert np.sum(_red(frames[0]) ^ _red(frames[-1])) > 30
    track = _track(_single("turns", shape="triangle"))
    assert abs(track[-1][2] - track[0][2]) < 0.1 * track[0][2]


def test_what_is_quick_is_done_after_half_of_the_clip() -> None:
    quick, slow = (_track(_single("rises", when)) for when in ("quickly", "slowly"))
    assert quick[FRAMES // 2 - 1][0] == pytest.approx(quick[-1][0])
    assert slow[FRAMES // 2 - 1][0] > slow[-1][0] + 5


def test_of_two_actors_the_second_waits_for_the_first() -> None:
    first = Actor("circle", "blue", "small", "falls", "first", "left")
    clip = ClipScene((first, Actor("square", "red", "small", "rises", "then", "right")), background=0)
    rows = [row for row, _, _ in _track(clip)]
    assert rows[0] == pytest.approx(rows[FRAMES // 2])
    assert rows[0] - rows[-1] > 10


@pytest.mark.parametrize("split", SPLITS)
def test_the_same_number_is_the_same_clip(split: str) -> None:
    assert [sample_clip(i, split) for i in range(30)] == [sample_clip(i, split) for i in range(30)]
    assert np.array_equal(animate(sample_clip(2, split)), animate(sample_clip(2, split)))


def test_splits_share_pairs_of_attributes_but_no_composition() -> None:
    shown = {split: {a for i in range(4000) for a in sample_clip(i, split).actors} for split in SPLITS}
    assert {split_of(actor) for actor in shown["train"]} == {"train"}
    pairs = {(actor.colour, actor.action) for actor in shown["train"]}
    assert len(pairs) == 8 * len(ACTIONS)
    for split, other in (("validation", "test"), ("test", "validation")):
        for number in range(200):
            splits = {split_of(actor) for actor in sample_clip(number, split).actors}
            assert split in splits
            assert other not in splits


def test_nothing_is_asked_that_cannot_be_seen() -> None:
    for number in range(2000):
        clip = sample_clip(number, "train")
        assert all(a.action != "turns" or a.shape not in ("circle", "ring") for a in clip.actors)
        assert all(a.action != "rests" or a.when != "quickly" for a in clip.actors)
        assert len(clip.actors) == 1 or any(a.action != "rests" for a in clip.actors)


def test_the_caption_says_every_attribute_in_the_order_of_acting() -> None:
    first = Actor("star", "orange", "small", "grows", "first", "right")
    clip = ClipScene((first, Actor("ring", "blue", "large", "rests", "then", "left")), background=0)
    assert (
        describe_clip(clip) == "first a small orange star on the right grows, then a large blue ring on the left rests"
    )
    assert describe_clip(_single("turns")) == "a large red square slowly turns"


def test_answers_follow_from_the_actors() -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for number in range(300):
        clip = sample_clip(number, "train")
        by_action = {actor.action: f"{actor.colour} {actor.shape}" for actor in clip.actors}
        for question in clip_questions(clip, rng):
            seen.add(question.kind)
            if question.kind == "who":
                assert question.answer == by_action.get(question.text[5:-1], "nothing")
            if question.text == "what acts first?":
                assert question.answer == f"{clip.actors[0].colour} {clip.actors[0].shape}"
            if question.text.startswith("is there an object that"):
                assert (question.answer == "yes") == (question.text[24:-1] in by_action)
            if question.kind == "pace":
                assert question.answer == clip.actors[0].when
    assert seen == set(KINDS)

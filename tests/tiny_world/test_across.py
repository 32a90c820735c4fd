"""Questions across modalities: answers that follow from the things, balance, and no held-out composition in training."""

from collections import Counter

import numpy as np
import pytest

from modalink.tiny_world import ACROSS_KINDS, WORLDS, ask_across, kinds_across, sample_across
from modalink.tiny_world.across import FITTING
from modalink.tiny_world.clips import actors
from modalink.tiny_world.scenes import split_of
from modalink.tiny_world.solids import bodies
from modalink.tiny_world.sounds import notes

_SPLIT_OF = {"image": split_of, "video": actors.split_of, "audio": notes.split_of, "points": bodies.split_of}


def _fits(things: list) -> bool:
    by = dict(things)
    return [FITTING[a.action] for a in by["video"].actors] == [n.motion for n in by["audio"].notes]


def _same(things: list) -> bool:
    by = dict(things)
    looks = {(a.shape, a.colour) for a in by["video"].actors}
    (item,) = by["image"].objects if "image" in by else by["points"].solids
    return (item.shape, item.colour) in looks


def _as_many(things: list) -> bool:
    counts = {len(getattr(thing, WORLDS[modality].parts)) for modality, thing in things}
    return len(counts) == 1


@pytest.mark.parametrize(
    ("kind", "holds"), [("fit", _fits), ("same object", _same), ("same solid", _same), ("as many", _as_many)]
)
def test_yes_is_said_where_it_holds_and_half_of_the_time(kind: str, holds) -> None:
    rng, answers = np.random.default_rng(0), Counter()
    for _ in range(300):
        things, question = ask_across(rng, "train", kind)
        assert question.answer == ("yes" if holds(list(things)) else "no")
        answers[question.answer] += 1
    assert 110 < answers["yes"] < 190


def test_only_the_picture_that_is_named_has_form_and_colour_of_the_solid() -> None:
    rng, answers = np.random.default_rng(0), Counter()
    for _ in range(200):
        things, question = ask_across(rng, "train", "which")
        (solid,) = things[2][1].solids
        right = [(p.objects[0].shape, p.objects[0].colour) == (solid.shape, solid.colour) for _, p in things[:2]]
        assert right == ([True, False] if question.answer == "first" else [False, True])
        answers[question.answer] += 1
    assert 70 < answers["first"] < 130


@pytest.mark.parametrize("kind", ACROSS_KINDS)
def test_no_split_shows_what_another_holds_out(kind: str) -> None:
    rng = np.random.default_rng(1)
    for split in ("train", "validation", "test"):
        own = 0
        for _ in range(80):
            things, _ = ask_across(rng, split, kind)
            splits = {_SPLIT_OF[m](part) for m, thing in things for part in getattr(thing, WORLDS[m].parts)}
            assert splits <= {split, "train"}
            own += split in splits
        assert own == 80


def test_a_kind_needs_its_modalities() -> None:
    assert kinds_across(frozenset({"image"})) == []
    assert kinds_across(frozenset({"audio", "video"})) == ["fit"]
    assert set(kinds_across(frozenset(WORLDS))) == set(ACROSS_KINDS)


def test_a_dialogue_across_describes_all_that_it_shows_before_it_asks() -> None:
    talk = sample_across("train", np.random.default_rng(0), ["which"])
    (text,) = [message["content"] for message in talk.messages() if message["role"] == "user"]
    assert text.split("\n") == [*(shown.description for shown in talk.shown), talk.turns[0][0]]
    assert [shown.modality for shown in talk.shown] == ["image", "image", "points"]

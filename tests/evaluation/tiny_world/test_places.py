"""Boxes by their overlap, beside a system that sees nothing and the best fixed box."""

import base64
from io import BytesIO
from types import SimpleNamespace

import pytest
from PIL import Image

from modalink import prompts
from modalink.conversation import Region
from modalink.evaluation.tiny_world import examples, places
from modalink.evaluation.tiny_world.evaluate import HeldOut, Sizes
from modalink.model import System
from modalink.model.regions import Regions
from modalink.testing.fakes import TinyPreprocessor
from modalink.tiny_world import render
from modalink.tiny_world.locating import sample_place_questions

ASKED = sample_place_questions("test", 20, 0)


@pytest.fixture
def sees(monkeypatch):
    """A system that answers every second question rightly, in the form of its codec, and others with odd text."""
    codec, heard = prompts.codec("thousand"), []

    def replies(system, talks, max_new_tokens):
        heard.extend(talks)
        for number, item in enumerate(ASKED):
            right = item.answer.replace("<bbox>", codec.write([item.box], prompts.Picture.whole(64, 64)))
            yield SimpleNamespace(text=right if number % 4 < 2 else "[1, 2")

    monkeypatch.setattr(places, "replies", replies)
    regions = Regions(codec, {"image": TinyPreprocessor(8)}, lambda *_: "read")
    system = System.__new__(System)
    system.processor = SimpleNamespace(regions=regions)
    return system, heard


def test_answers_are_scored_by_kind(sees):
    system, heard = sees
    located = places.answer(system, ASKED, render)
    assert [item.right for item in located] == [True, True, False, False] * 5
    assert {name: share.value for name, share in places.score(located, "places").items()} == {
        "places.locate": 0.5,
        "places.region": 0.5,
    }
    asked_about = [piece for talk in heard for piece in talk.turns[0].content if isinstance(piece, Region)]
    assert asked_about == [Region((item.box,)) for item in ASKED if item.kind == "region"]


def test_a_box_is_right_from_half_an_overlap_on():
    item = next(item for item in ASKED if item.kind == "locate")
    left, top, right, bottom = item.box
    half = (left, top, (left + right) / 2, bottom)
    for box, fits in ((item.box, True), (half, True), ((left, top, (left + right) / 2 - 0.1, bottom), False)):
        assert places.Located(item, "", (Region((box,)),)).right is fits
    assert not places.Located(item, "", (Region(((left, top),)),)).right  # a point is no box
    assert not places.Located(item, "nowhere").right


def test_the_baseline_knows_the_training_split_alone():
    guessed = places.majority(ASKED, 0)
    assert len({item.regions for item in guessed}) == 1
    assert len({item.reply for item in guessed if item.asked.kind == "region"}) == 1
    assert all(0 <= share.value < 0.5 for share in places.score(guessed, "guessed").values())


def test_examples_show_the_box_on_the_picture_and_numbers_stand_in_the_table(sees):
    located = places.answer(sees[0], ASKED, render)
    cases = examples.of_places(located, 4)
    assert [case.kind for case in cases[:4]] == ["locate", "region"] * 2
    assert all("<bbox>" not in case.prompt + case.wanted for case in cases)
    picture = Image.open(BytesIO(base64.b64decode(cases[0].picture.partition(",")[2])))
    left, top, *_ = (4 * place for place in located[0].regions[0].areas[0])
    assert picture.size == (256, 256) and picture.getpixel((round(left), round(top) + 4)) == (0xE6, 0x19, 0x4B)
    shares = places.score(located, "places") | places.score(places.majority(ASKED, 0), "baselines.places.majority")
    headline = HeldOut(Sizes(), shares, [], 0.0).tables()["held-out numbers (test split)"]
    assert [measure.name for measure in headline] == ["Boxes", "What a box holds"]
    assert headline[0].value == 0.5 and len(headline[0].baselines) == 1

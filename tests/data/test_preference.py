"""Preferences: a prompt with replies, each a conversation of its own."""

import pytest

from modalink.conversation import Medium, Region, Text, Turn
from modalink.data.preference import Preference, Side
from modalink.errors import SampleError
from modalink.model.sides import Judgement

BEFORE = (
    Turn("user", (Medium("image", "a.png"), Text("Hello."))),
    Turn("assistant", (Text("Hello!"),)),
    Turn("user", (Text("What is it?"),)),
)


def _said(text: str) -> tuple[Turn, ...]:
    return (Turn("assistant", (Text(text),)),)


def test_as_a_conversation_it_is_the_prompt_with_the_best_and_earlier_replies_are_not_learned() -> None:
    preference = Preference.of(BEFORE, [Side(_said("a cube"), 3.0), Side(_said("a ball"), 1.0)], "one")
    assert [(turn.text, turn.loss) for turn in preference.turns] == [
        ("Hello.", True),
        ("Hello!", False),
        ("What is it?", True),
        ("a cube", True),
    ]
    (best, first), (worse, second) = preference.conversations()
    assert (best.turns, best.id) == (preference.turns, "one")
    assert (worse.turns[:3], worse.turns[3].text, worse.id) == (best.turns[:3], "a ball", "one, reply 2")
    assert (first, second) == (Judgement(0, 3.0), Judgement(1, 1.0))


def test_a_side_may_be_a_reply_to_media_of_its_own() -> None:
    damaged = Side(_said("a cube"), media=(Medium("image", "b.png"),), variant="damaged")
    preference = Preference.of(BEFORE, [Side(_said("a cube")), Side(_said("a ball"))], "one").with_variants([damaged])
    shown = [[medium.source for _, medium in said.media()] for said, _ in preference.conversations()]
    assert shown == [["a.png"], ["a.png"], ["b.png"]]
    assert [(judged.rank, judged.variant) for _, judged in preference.conversations()] == [
        (0, None),
        (1, None),
        (0, "damaged"),
    ]


def test_media_of_a_side_must_be_as_many_as_the_prompts() -> None:
    more = Side(_said("a cube"), media=(Medium("image", "b.png"), Medium("image", "c.png")))
    with pytest.raises(SampleError, match="one: found 2 media of a reply's own in the place of the prompt's 1"):
        [*Preference.of(BEFORE, [Side(_said("a ball")), more], "one").conversations()]


@pytest.mark.parametrize("empty", ["", " \n"])
def test_a_reply_that_says_nothing_is_refused(empty: str) -> None:
    with pytest.raises(SampleError, match="reply 2 of 2 says nothing") as caught:
        Preference.of(BEFORE, [Side(_said("a cube")), Side(_said(empty))], "one")
    assert caught.value.reason == "empty_reply"
    with pytest.raises(SampleError, match="found a prompt without replies"):
        Preference.of(BEFORE, [], "one")


def test_a_reply_may_be_a_medium_or_a_region_alone() -> None:
    for piece in (Medium("image", "made.png"), Region(((0, 0, 1, 1),))):
        assert not Side((Turn("assistant", (piece,)),)).is_empty

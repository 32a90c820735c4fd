"""What cannot be seen within the maximum of tokens is left out before it costs anything."""

from dataclasses import replace

import pytest

from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.errors import PromptError
from modalink.model.shortening import LongestToken, shortened
from modalink.testing.tokenizers import tiny_tokenizer


@pytest.fixture(scope="module")
def longest():
    return LongestToken(tiny_tokenizer())


def talk(*texts, media=()):
    roles = ("user", "assistant")
    turns = [
        Turn(roles[i % 2], (Text(text), *[Medium("image", "a.png")] * (i in media))) for i, text in enumerate(texts)
    ]
    return Conversation(tuple(turns), "s")


def test_the_longest_token_is_that_of_the_vocabulary(longest):
    assert longest.length == max(map(len, tiny_tokenizer().get_vocab())) > 5


def test_what_fits_stays_the_very_same(longest):
    for said in (talk("a", "b"), talk("a" * (8 * longest.length - 1), "b"), talk(*"abcdefgh")):
        assert shortened(said, 8, longest, whole=False) is said


def test_text_is_cut_behind_what_can_be_seen_and_the_turns_after_it_are_left_out(longest):
    room = 4 * longest.length
    said = talk("a" * (room - 3), "b" * 100, "c", "d")
    kept = shortened(said, 4, longest, whole=False)
    assert [turn.text for turn in kept.turns] == ["a" * (room - 3), "bbb"]
    assert [turn.text for turn in shortened(said, 4, longest, whole=True).turns] == ["a" * (room - 3), "bbb", "", ""]


def test_media_are_never_cut_and_what_stands_beside_them_is_not_learned(longest):
    said = talk("a" * 1000, "b", "c", "d", "e", media=(3,))
    kept = shortened(said, 4, longest, whole=False)
    assert [turn.loss for turn in kept.turns] == [True, False, False, False]
    assert list(kept.media()) == [(kept.turns[3], Medium("image", "a.png"))]
    assert shortened(talk(*["a"] * 20), 4, longest, whole=False).turns == talk(*["a"] * 4).turns


def test_media_are_counted_before_they_are_opened(longest):
    said = Conversation((replace(talk("a").turns[0], content=(Medium("image", "gone.png"),) * 8),), "s")
    with pytest.raises(
        PromptError, match="s: found 8 media, each of which takes a token at least, within the maximum of 8"
    ):
        shortened(said, 8, longest, whole=False)

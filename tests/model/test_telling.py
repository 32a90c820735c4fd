"""Charts bring their numbers into the prompt, behind the picture; what is made brings none."""

import pytest

from modalink.conversation import Conversation, Medium, Text
from modalink.errors import MediumError
from modalink.model.telling import told

CHART = b",size\na,1\nb,<image>\n"


def conversation(content: bytes) -> Conversation:
    asked = [{"type": "text", "text": "see "}, {"type": "chart", "chart": content}, {"type": "text", "text": "?"}]
    return Conversation.from_messages([{"role": "user", "content": asked}], "sample 7")


def test_the_words_of_a_medium_stand_behind_it() -> None:
    given = conversation(b",size\n<image>,1\nb,2\n")
    (turn,) = told(given, lambda turn, medium: True).turns
    before, medium, words, after = turn.content
    assert isinstance(medium, Medium) and medium.source.read().size == (448, 448)
    assert [before, words, after] == [Text("see "), Text("\n | size\n<image> | 1\nb | 2\n"), Text("?")]
    assert told(given, lambda turn, medium: False).turns == given.turns


def test_other_media_are_not_opened() -> None:
    asked = [{"type": "image", "image": "absent.png"}]
    given = Conversation.from_messages([{"role": "user", "content": asked}])
    assert told(given, lambda turn, medium: True) is given


def test_a_medium_whose_words_cannot_be_read_is_named_with_its_sample() -> None:
    with pytest.raises(MediumError, match=r"sample 7: chart given as bytes: found '<image>' under 'series\.size\.1'"):
        told(conversation(CHART), lambda turn, medium: True)

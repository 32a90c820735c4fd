"""The conversation record: read from messages of every form, and given back."""

import pytest

from modalink.conversation import Conversation, Medium, Text
from modalink.errors import PromptError


def medium(block):
    (turn,) = Conversation.from_messages([{"role": "user", "content": [block]}]).turns
    (piece,) = turn.content
    return piece


@pytest.mark.parametrize(
    ("block", "source"),
    [
        ({"type": "image", "image": "a.png"}, "a.png"),
        ({"type": "image", "path": "a.png", "url": None}, "a.png"),
        ({"type": "image", "image": {"bytes": b"a", "path": None}}, b"a"),  # as `datasets` leaves it undecoded
        ({"type": "image_url", "image_url": {"url": "a.png"}}, "a.png"),  # OpenAI, chat completions
        ({"type": "input_image", "image_url": "a.png"}, "a.png"),  # OpenAI, responses
        ({"type": "image_url", "image": "a.png"}, "a.png"),
    ],
)
def test_blocks_of_others_are_read(block, source):
    assert medium(block) == Medium("image", source)


def test_blocks_of_a_plugged_in_modality_are_read(depth):
    assert medium({"type": "depth_map", "depth_map": "a.npy"}) == Medium("depth", "a.npy")
    bare = {"type": "depth_map", "depth_map": {"data": "AAAA", "format": "npy"}}
    assert medium(bare) == Medium("depth", "data:application/npy;base64,AAAA")


def test_messages_come_back_as_they_were():
    pieces = [{"type": "image", "image": "a.png", "caption": "a cat"}, {"type": "text", "text": "What?"}]
    conversation = Conversation.from_messages([{"role": "user", "content": pieces}])
    assert conversation.turns[0].content == (Medium("image", "a.png", "a cat"), Text("What?"))
    assert conversation.to_messages() == [{"role": "user", "content": pieces}]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"type": "image"}, "a block of type 'image' needs its source"),
        ({"type": "image", "image": {"detail": "low"}}, "a block of type 'image' needs its source"),
        ({"image": "a.png"}, "needed a string or a mapping with a 'type'"),
        ({"type": "text", "text": 3}, "a text block needs a 'text' string"),
    ],
)
def test_blocks_of_no_form_are_refused_with_their_place(block, message):
    with pytest.raises(PromptError, match=f"conversation, message 0, block 0: .*{message}"):
        medium(block)

"""The conversation record: read from messages of every form, and given back."""

import pytest

from modalink.conversation import Conversation, Medium, Region, Text
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
    pieces = [
        {"type": "image", "image": "a.png", "caption": "a cat"},
        {"type": "text", "text": "What?"},
        {"type": "image", "image": "b.png", "use": "both"},
        {"type": "text", "text": "it is", "loss": False},
    ]
    conversation = Conversation.from_messages([{"role": "user", "content": pieces}])
    first, last = Medium("image", "a.png", "a cat"), Medium("image", "b.png", use="both")
    assert conversation.turns[0].content == (first, Text("What?"), last, Text("it is", loss=False))
    assert conversation.to_messages() == [{"role": "user", "content": pieces}]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"type": "image"}, "a block of type 'image' needs its source"),
        ({"type": "image", "image": {"detail": "low"}}, "a block of type 'image' needs its source"),
        ({"type": "image", "image": "a.png", "use": "eaten"}, "found the use 'eaten', needed one of read, made, both"),
        ({"image": "a.png"}, "needed a string or a mapping with a 'type'"),
        ({"type": "text", "text": 3}, "a text block needs a 'text' string"),
    ],
)
def test_blocks_of_no_form_are_refused_with_their_place(block, message):
    with pytest.raises(PromptError, match=f"conversation, message 0, block 0: .*{message}"):
        medium(block)


@pytest.mark.parametrize(
    ("use", "role", "makes", "done"),
    [
        (None, "user", ["image"], "read"),
        (None, "assistant", ["image"], "made"),
        (None, "assistant", [], "read"),
        ("read", "assistant", ["image"], "read"),
        ("made", "user", ["image"], "made"),
        ("both", "assistant", ["image"], "both"),
    ],
)
def test_the_use_of_a_medium_is_told_or_that_of_its_role(use, role, makes, done):
    assert Medium("image", "a.png", use=use).use_in(role, ["image"], makes) == done


@pytest.mark.parametrize(
    ("use", "role", "reads", "makes", "message"),
    [
        (None, "user", [], ["image"], "'image' to read; this system reads text only"),
        ("read", "assistant", ["audio"], ["image"], "'image' to read; this system reads audio"),
        ("made", "assistant", ["image"], [], "'image' to make; this system makes text only"),
        ("both", "assistant", ["image"], ["audio"], "'image' to make; this system makes audio"),
        ("both", "assistant", [], ["image"], "'image' to read; .* give the system an encoder"),
    ],
)
def test_a_use_that_the_system_has_no_part_for_is_refused(use, role, reads, makes, message):
    with pytest.raises(PromptError, match=message):
        Medium("image", "a.png", use=use).use_in(role, reads, makes)


def test_regions_come_back_as_they_were():
    pieces = [
        {"type": "region", "areas": [[1, 2, 30.5, 4]]},
        {"type": "region", "areas": [[0.5, 1], [0, 0, 1, 1]], "phrase": "a cat", "image": 1, "shares": True},
    ]
    conversation = Conversation.from_messages([{"role": "user", "content": pieces}])
    plain, full = conversation.turns[0].content
    assert plain == Region(((1, 2, 30.5, 4),))
    assert full == Region(((0.5, 1), (0, 0, 1, 1)), "a cat", 1, True)
    assert conversation.to_messages() == [{"role": "user", "content": pieces}]
    assert (full.text, conversation.turns[0].text) == ("a cat [0.5, 1] [0, 0, 1, 1]", "")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "found the areas None, needed a list of lists"),
        ({"areas": [3]}, r"found the areas \[3\], needed a list of lists"),
        ({"areas": []}, "found a region without areas"),
        ({"areas": [[1, 2, 3]]}, r"found the area \[1, 2, 3\], needed 2, 4 or 8 numbers"),
        ({"areas": [[1, -2]]}, "needed 2, 4 or 8 numbers of 0 or more"),
        ({"areas": [[1, float("nan")]]}, "needed 2, 4 or 8 numbers"),
        ({"areas": [[1, "2"]]}, "needed 2, 4 or 8 numbers"),
        ({"areas": [[1, True]]}, "needed 2, 4 or 8 numbers"),
        ({"areas": [[1, 2]], "phrase": 3}, "found the phrase 3, needed text"),
        ({"areas": [[1, 2]], "image": True}, "found the image True, needed its number"),
        ({"areas": [[1, 2]], "image": -1}, "found a region of image -1, needed one from 0"),
    ],
)
def test_regions_of_no_form_are_refused(fields, message):
    with pytest.raises(PromptError, match=f"message 0, block 0: .*{message}"):
        medium({"type": "region", **fields})

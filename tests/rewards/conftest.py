"""Replies to questions about a picture."""

from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.rewards import Answered

Reply = Callable[..., Answered]


@pytest.fixture
def reply() -> Reply:
    """A reply to a question about a picture of 200 times 100 pixels; keywords are facts."""

    def make(
        text: str, *, tokens: int | None = None, complete: bool = True, made: Any = None, **facts: Any
    ) -> Answered:
        picture = Medium("image", Image.new("RGB", (200, 100), "white"))
        asked = Conversation((Turn("user", (picture, Text("How many cubes are there?"))),), "asked")
        media = () if made is None else (made,)
        return Answered(asked, (Text(text), *media), facts, tokens, complete)

    return make

"""Sentences of another source."""

import pytest

from modalink import kinds
from modalink.conversation import Medium, Text
from modalink.errors import DataError, SampleError
from modalink.modalities.sentence import Sentence


def source(**of):
    return kinds.parse("modalink.data.sources", {"source": "sentences", "of": of}, key="source")


def test_each_is_shown_and_said_again(write):
    config = source(source="text", path=str(write("a.txt", "a red cube\n two circles \n")))
    opened = config.open()
    assert len(opened) == 2 and config.name.startswith("sentences of text ") and config.files()
    asked, said = opened[1].turns
    assert asked.content == (Medium("sentence", Sentence("two circles")),)
    assert (said.role, said.content) == ("assistant", (Text("two circles"),))


def test_it_is_the_last_thing_that_the_assistant_says(write):
    messages = [{"role": r, "content": t} for r, t in (("user", "a"), ("assistant", "b"), ("assistant", "c d"))]
    opened = source(source="messages", path=str(write("a.jsonl", [{"messages": messages}]))).open()
    assert opened[0].turns[1].text == "c d"
    silent = source(source="messages", path=str(write("b.jsonl", [{"messages": messages[:1]}]))).open()
    with pytest.raises(SampleError, match="found nothing that the assistant says"):
        silent[0]
    with pytest.raises(DataError, match="looked for files"):
        source(source="text", path="absent.txt").open()


def test_its_tiny_form_are_descriptions_of_the_tiny_world(write):
    config = source(source="text", path=str(write("a.txt", "a\n"))).tiny()
    again = kinds.parse("modalink.data.sources", config.model_dump(mode="json") | {"source": "sentences"}, key="source")
    opened = again.open()
    assert len(opened) == 2000 and len(opened[0].turns[1].text.split()) > 2

"""Sentences: words as a medium."""

import pytest

from modalink import modalities
from modalink.conversation import Conversation
from modalink.data.sources.messages import MessagesConfig
from modalink.errors import MediumError
from modalink.modalities.sentence import Sentence
from modalink.testing import check_modality


def test_it_keeps_the_promises_of_all() -> None:
    check_modality(modalities.get("sentence"))


def test_words_are_given_or_stand_in_a_file(tmp_path) -> None:
    record, place = modalities.get("sentence"), tmp_path / "a.txt"
    place.write_text("  a red cube\n", encoding="utf-8")
    given, stored = record.open(Sentence("a red cube")), record.open(place)
    assert given.read() == stored.read() == Sentence("a red cube")
    assert given.digest == stored.digest and stored.extent == "3 words"
    for source, reason in ((Sentence(" "), "empty"), (b"\xff", "not_a_sentence"), (b" \n", "empty")):
        with pytest.raises(MediumError) as caught:
            record.read(source)
        assert caught.value.reason == reason


def test_a_column_of_sentences_is_no_column_of_media(tmp_path, write) -> None:
    said = {"sentence": "a dog", "prompt": "What?", "completion": "a red cube"}
    path = write("a.jsonl", [said])
    found: Conversation = MessagesConfig(path=str(path)).open()[0]
    assert not [*found.media()]

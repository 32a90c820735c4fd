"""Each kind of retriever finds what it says, and only that."""

import numpy as np
import pytest

from modalink.errors import PartError
from modalink.kinds import parse
from modalink.retrievers._index import Index
from modalink.retrievers.random import RandomRetriever, RandomRetrieverConfig
from modalink.roles.retriever import Query
from modalink.testing import check_retriever
from tests.retrievers.conftest import TEXTS, Shades, flag


def settings(kind, index, **given):
    return parse("modalink.retrievers", {"kind": kind, "index": str(index), **given})


def retriever(kind, index, embed=None, **given):
    return settings(kind, index, **given).build(embed)


def seen(*colours):
    return Query("What is it?", tuple(("image", flag(colour)) for colour in colours))


@pytest.mark.parametrize(
    ("kind", "embed", "queries"),
    [
        ("encoder", Shades(), [seen("red"), seen("lime", (200, 100, 0))]),
        ("words", None, [Query("A green flag by the house"), Query("the red sea", (("image", flag("red")),))]),
        ("random", None, [Query("anything"), Query(""), seen("red")]),
    ],
)
def test_kinds_keep_the_promises_of_their_role(index, kind, embed, queries):
    check_retriever(settings(kind, index), queries, embed)


class Forgetful(RandomRetriever):
    """Finds what it was asked to leave out."""

    def search(self, query, count, without=()):
        return super().search(query, count)


class ForgetfulConfig(RandomRetrieverConfig):
    def build(self, embed):
        return Forgetful(Index.open(self.index), self.seed)


def test_the_kit_names_the_promise_that_is_broken(index):
    with pytest.raises(AssertionError, match="entries of a source that is left out must not be found"):
        check_retriever(ForgetfulConfig(index=str(index)), [Query("anything")])


def test_an_encoder_finds_the_nearest_medium_by_its_cosine(index):
    found = retriever("encoder", index, Shades()).search(seen((200, 100, 0)), 3)
    assert [one.source for one in found] == ["red row", "green row", "blue row"]
    assert [one.score for one in found] == pytest.approx([0.8944, 0.4472, 0.0], abs=1e-4)
    assert found[0].text == TEXTS[0]


def test_an_encoder_looks_at_the_last_medium_and_finds_nothing_without_one(index):
    by_shade = retriever("encoder", index, Shades())
    assert by_shade.search(seen("red", "blue"), 1)[0].source == "blue row"
    assert by_shade.search(Query("What is red?"), 3) == []
    assert [one.source for one in by_shade.search(seen("blue"), 1, {"blue row"})] == ["red row"]


@pytest.mark.parametrize(
    ("given", "embed", "message"),
    [
        ({"pool": "mean"}, Shades(), "found an index with pool max, needed mean; make it anew"),
        ({"modality": "audio"}, Shades(), "found an index with modality image, needed audio"),
        ({}, None, "found no encoder of image to look at media with"),
    ],
)
def test_an_index_that_was_made_otherwise_is_refused(index, given, embed, message):
    with pytest.raises(PartError, match=message):
        retriever("encoder", index, embed, **given)


def test_an_index_of_another_encoder_is_refused(index):
    other = Shades()
    other.sha256 = "other"
    with pytest.raises(PartError, match="found an index with encoder shades, needed other"):
        retriever("encoder", index, other)


def test_words_are_found_by_their_rareness(index):
    """The numbers are the formula's, worked out word by word."""
    by_words = retriever("words", index)
    found = by_words.search(Query("Show me the sea and a house!"), 3)
    assert [one.source for one in found] == ["blue row", "red row", "green row"]
    assert [one.score for one in found] == pytest.approx([0.77916, 0.36451, 0.19317], abs=1e-5)
    assert by_words.search(Query("Zebras?"), 3) == [] and by_words.search(Query(""), 3) == []
    assert by_words.search(Query("A GREEN flag"), 1)[0].score == pytest.approx(1.0)


def test_chance_finds_the_same_for_the_same_question_and_everything_in_the_long_run(index):
    by_chance = retriever("random", index)
    first = [one.number for one in by_chance.search(seen("red"), 3)]
    assert first == [one.number for one in by_chance.search(seen("red"), 3)]
    chosen = [by_chance.search(Query(str(number)), 1)[0].number for number in range(300)]
    assert np.bincount(chosen).min() > 70
    assert [one.number for one in by_chance.search(seen("red"), 3, {"red row", "green row"})] == [2]

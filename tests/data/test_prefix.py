"""Prefix language modelling: the beginning of a reply is read."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from modalink.conversation import Conversation, Text, Turn
from modalink.data.loader import Loader
from modalink.data.prefix import begun
from modalink.model.prepared import Prepared
from modalink.runs.ledger import Ledger
from tests.support.numbered import NumbersConfig, run


def said(text: str, id: str = "a") -> Conversation:
    return Conversation((Turn("user", (Text("what?"),)), Turn("assistant", (Text(text),))), id)


def halves(conversation: Conversation) -> tuple[str, str]:
    read, learned = conversation.turns[-1].content
    assert isinstance(read, Text) and isinstance(learned, Text) and not read.loss and learned.loss
    return read.text, learned.text


def test_the_cut_lies_behind_each_of_the_first_words_equally_often_and_leaves_one_to_learn() -> None:
    text = " a red  cube\nstands here "
    counts = Counter(halves(begun(said(text), seed)) for seed in range(600))
    assert all(read + learned == text for read, learned in counts)
    assert {read for read, _ in counts} == {" a", " a red", " a red  cube"}
    assert min(counts.values()) > 150
    assert {halves(begun(said("two words"), seed)) for seed in range(20)} == {("two", " words")}


def test_the_place_follows_from_the_seed_and_the_sample_alone() -> None:
    text = " ".join("abcdefghijklmnop")
    assert begun(said(text), 3) == begun(said(text), 3)
    assert len({halves(begun(said(text), seed)) for seed in range(40)}) == 9
    assert len({halves(begun(said(text, str(name)))) for name in range(40)}) == 9


@pytest.mark.parametrize("text", ["word", "", "  \n"])
def test_one_word_is_learned_whole(text: str) -> None:
    assert begun(said(text), 0) == said(text)


def test_what_carries_no_loss_is_not_cut() -> None:
    *before, last = said("a red cube").turns
    for turns in ((*before, replace(last, loss=False)), tuple(before)):
        assert begun(Conversation(turns), 0) == Conversation(turns)


def test_a_source_asks_for_it_and_every_epoch_cuts_anew(tmp_path: Path) -> None:
    """Two sources of four samples that are their own numbers, in letters; only the first asks."""

    def places() -> dict[str, list[str]]:
        seen: dict[str, list[str]] = {}

        def prepare(conversation: Conversation, **_: int) -> Prepared:
            first, *rest = conversation.turns[-1].content
            seen.setdefault(conversation.id[0], []).append(first.text if rest and isinstance(first, Text) else "")
            return Prepared(conversation.id, [1], [1])

        sources = [NumbersConfig(path=f"{name} b c d e f ", size=4, prefix=name == "a") for name in "az"]
        run(Loader(sources, "concatenate", 0, prepare, Ledger(tmp_path / "l"), "skip", 8, workers=0, draws=True), 4)
        return seen

    seen = places()
    assert seen == places() and set(seen["z"]) == {""}
    assert set(seen["a"]) == {"a", "a b", "a b c", "a b c d"}

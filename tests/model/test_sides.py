"""Replies to the same prompt in a batch: whose tokens are whose, and which pairs they make."""

import pytest
import torch

from modalink.model.collating import collate
from modalink.model.prepared import IGNORED, Prepared
from modalink.model.sides import Judgement, Pair, SideTokens, pairs_of, per_side, variants


def _side(name: str, words: list[int], rank: int, **judged) -> Prepared:
    prompt = [1, 2, 3]
    return Prepared(name, prompt + words, [IGNORED] * 3 + words, judgement=Judgement(rank, **judged))


def _sample(name: str, *replies: list[int], scores: tuple[float | None, ...] = ()) -> Prepared:
    scored = [*scores, *[None] * len(replies)]
    first, *others = (_side(name, words, rank, score=scored[rank]) for rank, words in enumerate(replies))
    return Prepared(first.id, first.input_ids, first.labels, judgement=first.judgement, alternatives=tuple(others))


PAIR, ALONE = _sample("pair", [10, 11], [20]), _sample("alone", [30, 31, 32])


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("encoder_decoder", [True, False])
def test_a_batch_knows_whose_labelled_tokens_are_whose(packed: bool, encoder_decoder: bool) -> None:
    if packed and encoder_decoder:
        samples = [Prepared(s.id, s.input_ids, s.labels[3:], judgement=s.judgement) for s in (PAIR, ALONE)]
        batch = collate(samples, packed=False, pad_id=0, encoder_decoder=True)
        assert [side.tokens for side in batch.sides] == [(10, 11), (30, 31, 32)]
        return
    batch = collate([PAIR, ALONE], packed=packed, pad_id=0)
    assert [(side.sample, side.judgement.rank, side.tokens) for side in batch.sides] == [
        (0, 0, (10, 11)),
        (0, 1, (20,)),
        (1, 0, (30, 31, 32)),
    ]
    assert batch.wanted.tolist() == [token for side in batch.sides for token in side.tokens]
    assert batch.samples == ["pair", "pair", "alone"]
    sums = per_side(torch.arange(1.0, 7.0), batch.sides)
    assert sums.tolist() == [3.0, 3.0, 15.0]
    assert per_side(torch.arange(1.0, 7.0), batch.sides, torch.mean).tolist() == [1.5, 3.0, 5.0]


def test_a_first_label_that_nothing_predicts_is_no_token_of_a_side() -> None:
    sample = Prepared("a", [5, 6], [5, 6], alternatives=(Prepared("a", [7], [7]),))
    batch = collate([sample], packed=True, pad_id=0)
    assert [side.tokens for side in batch.sides] == [(6,), ()]
    assert per_side(torch.ones(1, requires_grad=True), batch.sides).tolist() == [1.0, 0.0]


def test_each_reply_is_paired_with_each_worse_one_and_equals_with_none() -> None:
    three = _sample("three", [1], [2], [3], scores=(5.0, 2.0, 2.0))
    sides = collate([ALONE, three], packed=True, pad_id=0).sides
    assert pairs_of(sides) == [Pair(1, 2, 3.0), Pair(1, 3, 3.0)]
    assert pairs_of(collate([PAIR], packed=True, pad_id=0).sides) == [Pair(0, 1)]


def test_variants_are_no_replies_of_their_own() -> None:
    damaged = _side("pair", [10, 11], 0, variant="damaged")
    sample = Prepared(PAIR.id, PAIR.input_ids, PAIR.labels, alternatives=(*PAIR.alternatives, damaged))
    sides = collate([ALONE, sample], packed=True, pad_id=0).sides
    assert pairs_of(sides) == [Pair(1, 2)]
    assert variants(sides, "damaged") == {(1, 0): 3}
    assert [side.is_best for side in sides] == [True, True, False, False]
    assert not SideTokens(0, Judgement(label=False), (1,)).is_best


def test_tokens_and_loading_concern_all_sides() -> None:
    assert PAIR.size == 5 + 4
    assert [side.id for side in PAIR.loaded().sides] == ["pair", "pair"]

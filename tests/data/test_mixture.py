"""Mixtures: proportions, epochs, and the same picks again from any place."""

import json
from collections import Counter
from itertools import islice

import numpy as np
import pytest

from modalink.data.mixture import mix
from modalink.errors import RecipeError

RULES = {
    "concatenate": ([5, 1, 12], [None] * 3),
    "ratio": ([5, 1, 12], [3.0, 0.5, 1.0]),
    "sqrt": ([4, 100, 25], [None] * 3),
}


def take(order, count):
    return [(pick.source, pick.index) for pick in islice(iter(order.__next__, None), count)]


@pytest.mark.parametrize("rule", RULES)
def test_taken_up_at_every_place(rule):
    sizes, weights = RULES[rule]
    whole = take(mix(rule, sizes, weights, seed=3), 90)
    for place in range(0, 90, 7):
        order = mix(rule, sizes, weights, seed=3)
        take(order, place)
        state = json.loads(json.dumps(order.state_dict()))
        again = mix(rule, sizes, weights, seed=3)
        again.load_state_dict(state)
        assert take(again, 90 - place) == whole[place:]


@pytest.mark.parametrize("rule", RULES)
def test_a_told_place_stays_where_it_was(rule):
    order = mix(rule, *RULES[rule], seed=3)
    state = order.state_dict()
    before = json.dumps(state)
    take(order, 20)
    assert json.dumps(state) == before


@pytest.mark.parametrize("rule", RULES)
def test_seed_decides(rule):
    sizes, weights = RULES[rule]
    orders = [take(mix(rule, sizes, weights, seed), 60) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_concatenation_gives_each_sample_once_an_epoch_in_new_order():
    order = mix("concatenate", [5, 1, 12], [None] * 3, seed=0)
    everything = {(s, i) for s, size in enumerate([5, 1, 12]) for i in range(size)}
    epochs = [take(order, 18) for _ in range(3)]
    for epoch in epochs:
        assert len(epoch) == len(everything) and set(epoch) == everything
    assert epochs[0] != epochs[1] != epochs[2]


def test_ratio_holds_in_every_stretch():
    weights = [115.0, 14.0]  # MiniGPT-4's
    picks = [source for source, _ in take(mix("ratio", [1000, 50], weights, seed=0), 129 * 20)]
    assert Counter(picks) == {0: 115 * 20, 1: 14 * 20}
    for start in range(0, len(picks) - 129, 13):
        assert abs(picks[start : start + 129].count(1) - 14) <= 1


def test_ratio_of_random_weights_never_lags_a_whole_round():
    rng = np.random.default_rng(0)
    for _ in range(10):
        weights = rng.uniform(0.001, 5, rng.integers(2, 7)).tolist()
        picks = [source for source, _ in take(mix("ratio", [1000] * len(weights), weights, seed=0), 400)]
        counts = np.zeros(len(weights))
        for total, source in enumerate(picks, start=1):
            counts[source] += 1
            assert np.abs(counts - total * np.array(weights) / sum(weights)).max() < len(weights)


def test_ratio_goes_through_each_source_in_its_own_epochs():
    indices = [i for source, i in take(mix("ratio", [5, 3], [1.0, 1.0], seed=0), 60) if source == 0]
    for start in range(0, 30, 5):
        assert sorted(indices[start : start + 5]) == [0, 1, 2, 3, 4]
    assert len({tuple(indices[start : start + 5]) for start in range(0, 30, 5)}) > 1


def test_square_roots_of_sizes():
    picks = [source for source, _ in take(mix("sqrt", [4, 100, 25], [None] * 3, seed=0), 1700)]
    assert Counter(picks) == {0: 200, 1: 1000, 2: 500}


def test_streams_have_no_index():
    assert take(mix("ratio", [None, 2], [1.0, 1.0], seed=0), 4)[0::2] == [(0, None), (0, None)]
    assert take(mix("concatenate", [None], [None], seed=0), 2) == [(0, None), (0, None)]


@pytest.mark.parametrize(
    ("rule", "sizes", "weights", "message"),
    [
        ("ratio", [1, 2], [1.0, None], "needs one for each source"),
        ("concatenate", [1, 2], [1.0, None], "which the mixture 'concatenate' would ignore"),
        ("sqrt", [1], [2.0], "which the mixture 'sqrt' would ignore"),
        ("sqrt", [1, None], [None, None], "a stream has none; use 'ratio'"),
        ("concatenate", [1, None], [None, None], "a stream has none; use 'ratio'"),
    ],
)
def test_what_cannot_be_mixed(rule, sizes, weights, message):
    with pytest.raises(RecipeError, match=message):
        mix(rule, sizes, weights, seed=0)

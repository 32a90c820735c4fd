"""The shuffled order: a bijection, the same everywhere, near to uniform."""

from collections import Counter
from itertools import permutations

import numpy as np
import pytest

from modalink.data.shuffle import Permutation


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 17, 255, 256, 257, 1000, 4097])
def test_each_number_once(size):
    assert sorted(Permutation(size, "a")[i] for i in range(size)) == list(range(size))


def test_the_same_on_every_machine():
    assert [Permutation(10, "0/0")[i] for i in range(10)] == [3, 1, 6, 8, 4, 9, 7, 5, 0, 2]


def test_seeds_give_unlike_orders():
    orders = [tuple(Permutation(50, f"{seed}")[i] for i in range(50)) for seed in range(40)]
    assert len(set(orders)) == 40
    fixed = np.mean([sum(number == place for place, number in enumerate(order)) for order in orders])
    assert 0.4 < fixed < 1.8  # one fixed point is expected


def test_small_sizes_reach_all_orders_evenly():
    counts = Counter(tuple(Permutation(4, f"{seed}")[i] for i in range(4)) for seed in range(720))
    assert set(counts) == set(permutations(range(4)))
    chi_square = sum((count - 30) ** 2 / 30 for count in counts.values())
    assert chi_square < 49.7  # 23 degrees of freedom: exceeded once in 1,000 by chance


def test_places_and_numbers_do_not_correlate():
    numbers = np.array([Permutation(5000, "x")[i] for i in range(5000)])
    assert abs(np.corrcoef(np.arange(5000), numbers)[0, 1]) < 0.05
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.05


def test_a_billion_costs_no_memory():
    order = Permutation(10**9, "x")
    numbers = [order[i] for i in range(1000)]
    assert len(set(numbers)) == 1000
    assert abs(np.mean(numbers) / 10**9 - 0.5) < 0.05
    assert len(vars(order)) == 4


def test_places_outside_are_errors():
    for place in (-1, 3):
        with pytest.raises(IndexError, match=f"found place {place}, needed one from 0 to 2"):
            Permutation(3, "a")[place]

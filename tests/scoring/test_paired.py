"""Paired tests beside what scipy says, and intervals beside formulas."""

import numpy as np
import pytest
from scipy.stats import binomtest

from modalink.scoring.paired import difference, holm, interval, mcnemar


@pytest.mark.parametrize(("only_left", "only_right"), [(0, 0), (3, 3), (10, 2), (2, 10), (40, 15), (0, 7)])
def test_mcnemars_exact_test_is_the_sign_test_of_those_that_differ(only_left, only_right):
    count = only_left + only_right
    expected = binomtest(only_left, count, 0.5).pvalue if count else 1.0
    assert mcnemar(only_left, only_right) == pytest.approx(expected, rel=1e-12)


def test_holm_as_in_his_paper():
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, and never below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_one_seed_of_right_and_wrong_is_tested_by_mcnemar():
    left, right = np.array([[1.0, 1, 1, 1, 1, 0, 0, 1]]), np.array([[0.0, 0, 0, 0, 0, 0, 1, 1]])
    found = difference(left, right)
    assert (found.value, found.by_seed, found.test) == (0.5, (0.5,), "mcnemar")
    assert found.p_value == pytest.approx(binomtest(5, 6, 0.5).pvalue)


def test_several_seeds_exchange_together():
    """Seeds are no further questions: three equal ones say no more than one."""
    rng = np.random.default_rng(0)
    left, right = (rng.random((2, 1, 60)) < np.array([0.7, 0.5])[:, None, None]).astype(float)
    one = difference(left, right)
    three = difference(np.repeat(left, 3, 0), np.repeat(right, 3, 0))
    assert three.test == "randomisation" and three.value == pytest.approx(one.value)
    assert three.p_value == pytest.approx(one.p_value, abs=0.02)
    assert three.by_seed == (pytest.approx(one.value),) * 3


def test_no_difference_is_never_found_significant():
    same = (np.random.default_rng(1).random((3, 50)) < 0.5).astype(float)
    assert difference(same, same).p_value == 1.0
    assert difference(same, same).interval == (0.0, 0.0)


def test_the_interval_of_one_seed_is_that_of_a_share():
    scores = np.array([[1.0] * 300 + [0.0] * 100])
    low, high = interval(scores)
    expected = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert (0.75 - low, high - 0.75) == pytest.approx((expected, expected), abs=0.006)


def test_seeds_that_differ_widen_the_interval():
    """Half of the seeds all right and half all wrong: questions tell nothing, seeds everything."""
    scores = np.repeat([[1.0], [0.0], [1.0], [0.0]], 50, axis=1)
    low, high = interval(scores, replicates=4000)
    assert (low, high) == (0.0, 1.0)
    assert interval(np.full((4, 50), 0.5)) == (0.5, 0.5)

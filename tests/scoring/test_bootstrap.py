"""Error bars and paired tests against what theory says."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from modalink.scoring.bootstrap import PERMUTATIONS, Ranking, Sums, compare, interval, means


def test_interval_of_a_mean_is_that_of_the_normal_law() -> None:
    scores = np.repeat([0.0, 1.0], [300, 700])
    low, high = interval(means(scores, 100.0), replicates=4000)
    width = 1.96 * 100 * np.sqrt(0.7 * 0.3 / 1000)
    assert (low, high) == pytest.approx((70 - width, 70 + width), abs=0.25)


def test_distinct_rows_are_drawn_by_another_way_to_the_same_law() -> None:
    scores = np.random.default_rng(0).normal(size=1000)
    low, high = interval(means(scores), replicates=4000)
    width = 1.96 * scores.std() / np.sqrt(1000)
    assert (low, high) == pytest.approx((scores.mean() - width, scores.mean() + width), abs=0.01)


def test_nothing_varies_nothing() -> None:
    assert interval(means(np.ones(50))) == (1.0, 1.0)
    assert interval(means(np.array([0.5]))) == (0.5, 0.5)


def test_ratio_of_sums() -> None:
    sample = Sums(np.array([[1.0, 2.0], [3.0, 2.0]]), lambda sums: sums[:, 0] / sums[:, 1])
    assert sample.value() == 1.0
    assert set(np.round(sample.paired(sample, np.random.default_rng(0), 500)[0], 6)) == {0.5, 1.0, 1.5}


def test_area_under_the_curve_and_its_draws() -> None:
    positive, scores = np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.9, 0.5, 0.5, 0.1])
    assert Ranking(positive, scores).value() == pytest.approx(3.5 / 4)
    assert Ranking(positive, scores, "precision").value() == pytest.approx((1 + 2 / 3) / 2)
    low, high = interval(Ranking(positive, scores))
    assert 0.5 <= low < 3.5 / 4 <= high == 1.0


def test_average_precision_with_ties_is_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    positive, scores = rng.integers(0, 2, 200).astype(float), rng.integers(0, 20, 200).astype(float)
    assert Ranking(positive, scores, "precision").value() == pytest.approx(average_precision_score(positive, scores))
    assert Ranking(positive, scores, scale=100.0).value() == pytest.approx(100 * roc_auc_score(positive, scores))


def test_a_model_does_not_differ_from_itself() -> None:
    scores = np.random.default_rng(0).integers(0, 2, 500).astype(float)
    found = compare(means(scores), means(scores))
    assert found.difference == 0 and found.interval == (0, 0) and found.p_value == 1


def test_one_changed_item_of_many_means_little_and_many_mean_much() -> None:
    base = np.zeros(400)
    one, many = base.copy(), base.copy()
    one[0], many[:40] = 1, 1
    assert compare(means(one), means(base)).p_value == pytest.approx(1.0)
    found = compare(means(many), means(base))
    assert found.difference == pytest.approx(0.1)
    assert found.p_value == pytest.approx(1 / (1 + PERMUTATIONS))
    assert 0.06 < found.interval[0] < 0.1 < found.interval[1] < 0.14


def test_p_value_is_the_binomial_one() -> None:
    # Eight items differ, seven for the left: of 2^8 rearrangements 2 * (1 + 8) are as extreme.
    left, right = np.array([1.0] * 7 + [0.0]), np.array([0.0] * 7 + [1.0])
    assert compare(means(left), means(right)).p_value == pytest.approx(18 / 256, abs=0.01)


def test_rankings_are_compared_too() -> None:
    positive = np.array([1.0, 0.0] * 30)
    good, bad = positive + 0.1, 1 - positive
    found = compare(Ranking(positive, good), Ranking(positive, bad), replicates=200)
    assert found.difference == 1 and found.p_value < 0.02 and found.interval == (1, 1)

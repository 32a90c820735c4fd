"""The Fréchet distance where it is known in closed form."""

import numpy as np
import pytest

from modalink.errors import DataError
from modalink.scoring.metrics.frechet import Gaussian, frechet_distance, gaussian, influences


def test_of_independent_dimensions() -> None:
    left = Gaussian(np.array([0.0, 1.0]), np.diag([4.0, 9.0]))
    right = Gaussian(np.array([3.0, 1.0]), np.diag([1.0, 1.0]))
    assert frechet_distance(left, right) == pytest.approx(9 + (2 - 1) ** 2 + (3 - 1) ** 2)


def test_of_a_set_to_itself_is_zero_even_with_few_samples() -> None:
    few = gaussian(np.random.default_rng(0).normal(size=(5, 12)))
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-6)


def test_covariance_is_that_of_a_sample() -> None:
    found = gaussian(np.array([[0.0, 0.0], [2.0, 4.0]]))
    assert found.covariance == pytest.approx(np.array([[2.0, 4.0], [4.0, 8.0]]))


def test_refuses_what_is_no_set_of_features() -> None:
    with pytest.raises(DataError, match="at least two finite"):
        gaussian(np.array([[1.0, np.nan], [0.0, 1.0]]))
    with pytest.raises(DataError, match="widths 2 and 3"):
        frechet_distance(gaussian(np.eye(2)), gaussian(np.eye(3)))


def test_an_influence_is_the_derivative_of_the_distance_by_the_weight_of_a_sample() -> None:
    rng = np.random.default_rng(1)
    features, right = rng.normal(size=(30, 3)) * [1.0, 2.0, 0.5], gaussian(rng.normal(size=(50, 3)) + 0.3)

    def distance(weights: np.ndarray) -> float:
        weights = weights / weights.sum() * len(features)
        mean = (weights[:, None] * features).mean(0)
        centred = features - mean
        return frechet_distance(Gaussian(mean, (centred * weights[:, None]).T @ centred / (len(features) - 1)), right)

    found, step = influences(features, right), 1e-4
    assert found.mean() == pytest.approx(0, abs=1e-12)
    for sample in (0, 7, 29):
        more, less = np.ones((2, len(features)))
        more[sample], less[sample] = 1 + step, 1 - step
        slope = (distance(more) - distance(less)) / (2 * step) * len(features)
        assert found[sample] == pytest.approx(slope, rel=1e-5)


def test_influences_of_fewer_samples_than_dimensions_are_finite() -> None:
    rng = np.random.default_rng(0)
    found = influences(rng.normal(size=(4, 9)), gaussian(rng.normal(size=(30, 9))))
    assert np.isfinite(found).all() and found.std() > 0.1
    with pytest.raises(DataError, match="widths 2 and 3"):
        influences(np.eye(2), gaussian(np.eye(3)))


def test_numbers_of_clean_fid() -> None:
    """`frechet_distance` of clean-fid 0.1.35 on the same features, in float64."""
    rng = np.random.default_rng(7)
    left, right = rng.normal(size=(40, 6)) * 1.5 + 0.3, rng.normal(size=(30, 6))
    assert frechet_distance(gaussian(left), gaussian(right)) == pytest.approx(1.7970746893675713, rel=1e-9)

"""The Fréchet distance where it is known in closed form."""

import numpy as np
import pytest

from modalink.errors import DataError
from modalink.scoring.metrics.frechet import Gaussian, frechet_distance, gaussian


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

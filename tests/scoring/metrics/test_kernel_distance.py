"""The kernel distance where it can be written down, and as others compute it."""

import numpy as np
import pytest

from modalink.errors import DataError
from modalink.scoring.metrics import kernel_distance
from modalink.scoring.metrics.kernel_distance import influences, subset_distances


def test_of_sets_that_can_be_written_down() -> None:
    # Width 1: within (1 * 3 + 1)^3 = 64 and (0 * 1 + 1)^3 = 1; across the mean of 1, 8, 1, 64.
    found = kernel_distance.kernel_distance(np.array([[1.0], [3.0]]), np.array([[0.0], [1.0]]))
    assert found == pytest.approx(64 + 1 - 2 * (1 + 8 + 1 + 64) / 4)


def features() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    return rng.normal(size=(40, 6)) * 1.5 + 0.3, rng.normal(size=(30, 6))


def test_numbers_of_torch_fidelity_and_clean_fid() -> None:
    """`kid_features_to_metric` of torch-fidelity 0.4.0 with 5 subsets of 20, `kernel_distance` of clean-fid 0.1.35."""
    left, right = features()
    subsets = subset_distances(left, right, 5, 20)
    assert subsets.mean() == pytest.approx(-0.029978055017020645, rel=1e-9)
    assert subsets.std() == pytest.approx(0.2618287921965622, rel=1e-9)
    whole = kernel_distance.kernel_distance(left[:30], right)
    assert whole == pytest.approx(0.15248264130497327, rel=1e-9)
    # Subsets as large as the sets are the sets, in another order.
    assert subset_distances(left[:30], right, 2, 1000) == pytest.approx([whole, whole], rel=1e-9)


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = features()
    whole = kernel_distance.kernel_distance(left, right)
    monkeypatch.setattr(kernel_distance, "_ROWS", 7)
    assert kernel_distance.kernel_distance(left, right) == pytest.approx(whole, rel=1e-12)


def test_influences_tell_what_leaving_a_sample_out_does() -> None:
    left, right = features()
    found, whole = influences(left, right), kernel_distance.kernel_distance(left, right)
    assert found.mean() == pytest.approx(0, abs=1e-12)
    without = np.array([kernel_distance.kernel_distance(np.delete(left, i, 0), right) for i in range(len(left))])
    # Without one of n samples the others count n / (n - 1) times.
    jackknife = (len(left) - 1) * (whole - without)
    assert np.corrcoef(found, jackknife)[0, 1] > 0.999 and jackknife.std() == pytest.approx(found.std(), rel=0.05)


def test_refuses_what_are_no_two_sets() -> None:
    with pytest.raises(DataError, match="found 1 and 3 features, needed at least two"):
        kernel_distance.kernel_distance(np.ones((1, 3)), np.eye(3))
    with pytest.raises(DataError, match="widths 2 and 3"):
        influences(np.eye(2), np.eye(3))

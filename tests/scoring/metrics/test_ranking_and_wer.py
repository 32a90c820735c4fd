"""Measures by scikit-learn and jiwer, on examples computed by hand."""

import numpy as np
import pytest

from modalink.errors import DataError
from modalink.scoring.metrics.ranking import auroc, average_precision, f1
from modalink.scoring.metrics.wer import rate, word_errors


def test_auroc_counts_ties_half() -> None:
    # Pairs (positive, negative): 0.9 beats both, 0.5 ties one and beats the other: 3.5 of 4.
    assert auroc(np.array([1, 1, 0, 0]), np.array([0.9, 0.5, 0.5, 0.1])) == pytest.approx(3.5 / 4)
    with pytest.raises(DataError, match="one class"):
        auroc(np.array([1, 1]), np.array([0.1, 0.2]))


def test_average_precision_and_f1() -> None:
    # Precision 1 at the first positive, 2/3 at the second.
    assert average_precision(np.array([1, 0, 1]), np.array([0.9, 0.8, 0.7])) == pytest.approx((1 + 2 / 3) / 2)
    with pytest.raises(DataError, match="no label"):
        average_precision(np.array([0, 0]), np.array([0.9, 0.8]))
    assert f1(np.array([1, 1, 0]), np.array([True, False, True])) == pytest.approx(0.5)
    assert f1(np.array([0, 0]), np.array([False, False])) == 0


def test_word_errors() -> None:
    assert word_errors("the cat sat", "the cat sat") == (0, 3)
    assert word_errors("a cat sat down", "the cat sat") == (2, 3)
    assert word_errors("", "the cat") == (2, 2)
    assert word_errors("two words", "") == (2, 0)
    assert rate([(1, 4), (2, 2)]) == 0.5

"""Measures of scores and labels of two classes, as scikit-learn computes them."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from modalink.errors import DataError, MissingExtraError

Labels = Shaped[np.ndarray, " n"]


def _sklearn() -> Any:
    try:
        import sklearn.metrics
    except ImportError as error:
        raise MissingExtraError("ranking metrics", "scikit-learn", "scoring") from error
    return sklearn.metrics


def auroc(positive: Labels, scores: Float[np.ndarray, " n"]) -> float:
    """Area under the ROC curve of scores for the positive class (label 1), ties counted half.

    Raises:
        DataError: Only one class occurs, so that there is nothing to rank.
    """
    if len(np.unique(positive)) < 2:
        raise DataError("found labels of one class only, needed both to compute the area under the ROC curve")
    return float(_sklearn().roc_auc_score(positive, scores))


def average_precision(positive: Labels, scores: Float[np.ndarray, " n"]) -> float:
    """Average precision of scores for the positive class (label 1).

    Raises:
        DataError: The positive class does not occur.
    """
    if not np.any(positive):
        raise DataError("found no label of the positive class, needed at least one to compute average precision")
    return float(_sklearn().average_precision_score(positive, scores))


def f1(positive: Labels, decided: Bool[np.ndarray, " n"]) -> float:
    """F1 of the positive class (label 1), 0 where it neither occurs nor is predicted."""
    return float(_sklearn().f1_score(positive.astype(bool), decided, zero_division=0))

"""The inception score: how sure a classifier is of each sample, and how much the samples differ.

Source: Salimans et al. 2016; openai/improved-gan (order kept); toshas/torch-fidelity, metric_isc.py (shuffled).
"""

from itertools import pairwise

import numpy as np
from jaxtyping import Float
from scipy.special import log_softmax, xlogy

from modalink.errors import DataError


def from_logits(logits: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
    """Probabilities of classes."""
    return np.exp(log_softmax(logits.astype(np.float64), axis=1))


def inception_score(
    probabilities: Float[np.ndarray, "n c"], splits: int = 10, seed: int | None = None
) -> tuple[float, float]:
    """exp(mean KL(p(y|x) || p(y))), its mean and standard deviation over parts of the samples.

    Args:
        probabilities: Of each sample, the classifier's probabilities, which sum to one.
        splits: Parts, in order.
        seed: Shuffles the samples first, as torch-fidelity does with 2020.

    Raises:
        DataError: The rows are no probabilities, or there are fewer than parts.
    """
    values = probabilities.astype(np.float64)
    if len(values) < splits:
        raise DataError(f"found {len(values)} samples, needed at least one for each of {splits} splits")
    sums = values.sum(1)
    bad = ~(np.isclose(sums, 1, atol=1e-3) & (values >= 0).all(1))
    if bad.any():
        first = int(np.argmax(bad))
        raise DataError(
            f"found {bad.sum()} rows that do not sum to 1, the first is {first} (from 0) with the sum "
            f"{sums[first]:.4g}, needed probabilities; are they logits? --option input=logits"
        )
    if seed is not None:
        values = values[np.random.RandomState(seed).permutation(len(values))]
    bounds = [part * len(values) // splits for part in range(splits + 1)]
    scores = [_score(values[start:end]) for start, end in pairwise(bounds)]
    return float(np.mean(scores)), float(np.std(scores))


def _score(part: Float[np.ndarray, "n c"]) -> float:
    return float(np.exp((xlogy(part, part) - xlogy(part, part.mean(0))).sum(1).mean()))

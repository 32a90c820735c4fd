"""The kernel distance between two sets of features: KID with Inception's, an estimate without bias of any set's size.

Source: Bińkowski et al. 2018, section 4: the squared maximum mean discrepancy with the kernel (x · y / d + 1)^3;
toshas/torch-fidelity, metric_kid.py, and GaParmar/clean-fid, fid.py: its mean over subsets.
"""

import numpy as np
from jaxtyping import Float

from modalink.errors import DataError

SUBSETS, SUBSET_SIZE, SEED = 100, 1000, 2020
"""What torch-fidelity takes; clean-fid takes the same numbers and another seed each time."""
_ROWS = 2048
"""Rows of a kernel's matrix that are held at once."""


def kernel_distance(left: Float[np.ndarray, "n d"], right: Float[np.ndarray, "m e"]) -> float:
    """The squared discrepancy of whole sets, without bias: it can be less than 0.

    Raises:
        DataError: A set has fewer than two samples, or the widths differ.
    """
    _check(left, right)
    return float(_mean_within(left).mean() + _mean_within(right).mean() - 2 * _across(left, right).mean())


def influences(left: Float[np.ndarray, "n d"], right: Float[np.ndarray, "m e"]) -> Float[np.ndarray, " n"]:
    """How far each sample of the left set moves the distance, to first order; their mean is 0.

    Raises:
        DataError: As for `kernel_distance`.
    """
    _check(left, right)
    effects: Float[np.ndarray, " n"] = 2 * (_mean_within(left) - _across(left, right))
    return effects - effects.mean()


def subset_distances(
    left: Float[np.ndarray, "n d"],
    right: Float[np.ndarray, "m e"],
    subsets: int = SUBSETS,
    size: int = SUBSET_SIZE,
    seed: int = SEED,
) -> Float[np.ndarray, " s"]:
    """The distance of random subsets, whose mean and standard deviation are published as KID.

    Args:
        left: Features of one set.
        right: Features of the other.
        subsets: How many are drawn.
        size: Samples of each from either set, as many as there are where these are fewer.
        seed: Of the draws, as torch-fidelity makes them.

    Raises:
        DataError: As for `kernel_distance`.
    """
    _check(left, right)
    size = min(size, len(left), len(right))
    rng = np.random.RandomState(seed)
    draws = (
        (rng.choice(len(left), size, replace=False), rng.choice(len(right), size, replace=False))
        for _ in range(subsets)
    )
    return np.array([kernel_distance(left[own], right[others]) for own, others in draws])


def _mean_within(features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    values = features.astype(np.float64)
    own = _kernel((values * values).sum(1), values.shape[1])
    sums = np.concatenate([_between(block, values).sum(1) for block in _blocks(values)])
    means: Float[np.ndarray, " n"] = (sums - own) / (len(values) - 1)
    return means


def _across(left: Float[np.ndarray, "n d"], right: Float[np.ndarray, "m d"]) -> Float[np.ndarray, " n"]:
    values = right.astype(np.float64)
    return np.concatenate([_between(block, values).mean(1) for block in _blocks(left.astype(np.float64))])


def _between(left: Float[np.ndarray, "n d"], right: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "n m"]:
    return _kernel(left @ right.T, left.shape[1])


def _kernel(products: np.ndarray, width: int) -> np.ndarray:
    kernel: np.ndarray = (products / width + 1) ** 3
    return kernel


def _blocks(values: Float[np.ndarray, "n d"]) -> list[np.ndarray]:
    return [values[start : start + _ROWS] for start in range(0, len(values), _ROWS)]


def _check(left: Float[np.ndarray, "n d"], right: Float[np.ndarray, "m e"]) -> None:
    if min(len(left), len(right)) < 2:
        raise DataError(f"found {len(left)} and {len(right)} features, needed at least two of each set")
    if left.shape[1] != right.shape[1]:
        raise DataError(f"found features of widths {left.shape[1]} and {right.shape[1]}; one encoder gives one width")

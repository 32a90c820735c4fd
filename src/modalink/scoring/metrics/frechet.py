"""The Fréchet distance between two sets of features, each taken for a Gaussian: FID, FAD, FVD by the kind of features.

Source: Heusel et al. 2017; mseitzer/pytorch-fid, fid_score.py. The distance's derivative is that of the squared
2-Wasserstein distance of Gaussians, R. Bhatia, T. Jain, Y. Lim, On the Bures-Wasserstein distance (2019).
"""

import warnings
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import linalg

from modalink.errors import DataError

EPSILON = 1e-6


class Gaussian(NamedTuple):
    """The mean [d] and covariance [d d] of a set of features."""

    mean: Float[np.ndarray, " d"]
    covariance: Float[np.ndarray, "d d"]


def gaussian(features: Float[np.ndarray, "n d"]) -> Gaussian:
    """The mean and the sample covariance (over n - 1) of features.

    Raises:
        DataError: There are fewer than two, or some are not finite.
    """
    finite = int(np.isfinite(features).all(1).sum())
    if finite < max(2, len(features)):
        raise DataError(f"found {len(features)} features of which {finite} are finite, needed all, at least two finite")
    values = features.astype(np.float64)
    return Gaussian(values.mean(0), np.atleast_2d(np.cov(values, rowvar=False)))


def frechet_distance(left: Gaussian, right: Gaussian) -> float:
    """|mu1 - mu2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2).

    Raises:
        DataError: The widths differ, or the root of the product of covariances is not real.
    """
    if left.mean.shape != right.mean.shape:
        raise _widths(left, right)
    with np.errstate(all="ignore"):
        root = _root(left.covariance @ right.covariance)
        if not np.isfinite(root).all():
            offset = EPSILON * np.eye(left.mean.size)
            root = _root((left.covariance + offset) @ (right.covariance + offset))
    if np.iscomplexobj(root):
        if not np.allclose(np.diagonal(root).imag, 0, atol=1e-3):
            raise DataError(
                f"the covariances' root has an imaginary part of {np.abs(root.imag).max():.3g}: too few features"
            )
        root = root.real
    difference = left.mean - right.mean
    return float(difference @ difference + np.trace(left.covariance) + np.trace(right.covariance) - 2 * np.trace(root))


def influences(features: Float[np.ndarray, "n d"], right: Gaussian) -> Float[np.ndarray, " n"]:
    """How far each sample moves the distance of its set from another, to first order; their mean is 0.

    A set in which sample i counts `w[i]` times, `n` in all, is at the distance plus the mean of `w * influences`, up to
    terms of higher order. This makes error bars of a distance cheap: a resample is a weighted mean, and no root.

    Args:
        features: The set, which is resampled.
        right: The other set, which stays.

    Raises:
        DataError: As for `gaussian` and `frechet_distance`.
    """
    left = gaussian(features)
    if left.mean.shape != right.mean.shape:
        raise _widths(left, right)
    centred = features.astype(np.float64) - left.mean
    # The map that carries one Gaussian to the other; where the samples do not reach there is nothing to carry.
    values, vectors = np.linalg.eigh(right.covariance)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    values, vectors = np.linalg.eigh(root @ left.covariance @ root)
    reached = values > values.max(initial=0) * len(values) * np.finfo(float).eps
    carried = (centred @ root @ vectors[:, reached]) / np.sqrt(np.sqrt(values[reached]))
    squares = ((centred * centred).sum(1) - (carried * carried).sum(1)) * len(centred) / (len(centred) - 1)
    effects: Float[np.ndarray, " n"] = 2 * centred @ (left.mean - right.mean) + squares
    return effects - effects.mean()


def _widths(left: Gaussian, right: Gaussian) -> DataError:
    return DataError(f"found features of widths {left.mean.size} and {right.mean.size}; one encoder gives one width")


def _root(matrix: Float[np.ndarray, "d d"]) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a singular matrix has a root all the same, or gives no finite number
        try:
            return np.asarray(linalg.sqrtm(matrix))
        except ValueError as error:  # of infinite numbers; numpy's LinAlgError is one
            raise DataError("the product of the covariances has no root: their numbers are too large") from error

"""Features of generated and real media: read from files, or computed by the encoder that the caller brings."""

import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from modalink.errors import DataError, brief
from modalink.scoring.metrics.frechet import Gaussian, gaussian
from modalink.scoring.rows import shown_path

LARGEST = 1 << 32
"""Bytes of all arrays of a file, unpacked."""


@runtime_checkable
class FeatureEncoder(Protocol):
    """Turns media and texts into features; `modalink.evaluation.media_features` has one for checkpoints."""

    def media(self, paths: Sequence[Path], modality: str) -> Float[np.ndarray, "n d"]:
        """Features of media files, in their order."""

    def folder(self, folder: Path, modality: str) -> Float[np.ndarray, "n d"]:
        """Features of all media of a modality in a folder."""

    def texts(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """Features of texts in the space of the media."""


EncoderLoader = Callable[[str], FeatureEncoder]
"""From a checkpoint to its encoder."""


def no_encoder(checkpoint: str) -> FeatureEncoder:
    """The loader of callers who compute no features.

    Raises:
        DataError: Always.
    """
    raise DataError(f"encoder {checkpoint}: computing features needed `load_encoder`; or give them as .npy or .npz")


def read_array(path: Path, names: tuple[str, ...] = ("features", "arr_0")) -> Float[np.ndarray, "n d"]:
    """The matrix of a .npy file, or of a .npz file under one of some names.

    Raises:
        DataError: The file is missing or of another kind, or holds no matrix of finite numbers.
    """
    arrays = read_arrays(path)
    name = next((name for name in names if name in arrays), next(iter(arrays)) if len(arrays) == 1 else None)
    if name is None:
        raise DataError(
            f"{shown_path(path)}: found arrays {', '.join(map(brief, arrays))}, needed one of {', '.join(names)}"
        )
    return matrix(arrays, name, path)


def matrix(arrays: Mapping[str, np.ndarray], name: str, path: Path) -> Float[np.ndarray, "n d"]:
    """One array of a file, which must be a matrix of finite numbers.

    Raises:
        DataError: It is absent, something else, or holds NaN or infinity; the message tells the row.
    """
    if name not in arrays:
        raise DataError(f"{shown_path(path)}: found arrays {', '.join(map(brief, arrays))}, needed {name}")
    array = arrays[name]
    if array.ndim != 2 or array.dtype.kind not in "fiu" or not array.size:
        raise DataError(
            f"{shown_path(path)}: found {brief(name)} of shape {array.shape} and type {array.dtype}, needed a matrix "
            "of numbers [n d]"
        )
    values = array.astype(np.float64)
    check_finite(values, f"{shown_path(path)}: {brief(name)}")
    return values


def check_finite(values: Float[np.ndarray, "n ..."], where: str) -> None:
    """Refuse NaN and infinity.

    Raises:
        DataError: There is one; the message tells the first row that has it.
    """
    rows = np.isfinite(values.reshape(len(values), -1)).all(1)
    if not rows.all():
        raise DataError(
            f"{where}: row {int(np.argmin(rows))} (from 0) and {len(rows) - int(rows.sum()) - 1} more hold NaN or "
            "infinity, needed finite numbers"
        )


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .npy or .npz file by name; pickled objects are refused.

    Raises:
        DataError: The file is missing, damaged, larger than is read, or of another kind.
    """
    try:
        if path.suffix not in (".npy", ".npz") or not path.is_file():
            raise DataError(f"{shown_path(path)}: no such .npy or .npz file of features")
        if (size := _unpacked_size(path)) > LARGEST:
            raise DataError(f"{shown_path(path)}: found {size:,} bytes of arrays, needed {LARGEST:,} at most")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with path.open("rb") as file:  # numpy leaves a damaged archive open
                arrays = np.load(file, allow_pickle=False)
                if isinstance(arrays, np.ndarray):
                    return {"features": arrays}
                return {name: arrays[name] for name in arrays.files}
    except DataError:
        raise
    except Exception as error:  # numpy lets every error of its header's parser through
        raise DataError(f"{shown_path(path)}: not a file of numpy arrays ({brief(str(error), 200)})") from error


def _unpacked_size(path: Path) -> int:
    if not zipfile.is_zipfile(path):
        return path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        return sum(member.file_size for member in archive.infolist())


@dataclass(frozen=True)
class FeatureSet:
    """A set of features: its Gaussian, and the features [n d] themselves where they are known."""

    gaussian: Gaussian
    features: Float[np.ndarray, "n d"] | None = None

    @property
    def count(self) -> int | None:
        """How many there are, where that is known."""
        return None if self.features is None else len(self.features)


def feature_set(features: Float[np.ndarray, "n d"], where: str) -> FeatureSet:
    """Features as a set with a Gaussian.

    Raises:
        DataError: There are fewer than two, or some are not finite; the message begins with `where`.
    """
    check_finite(features, where)
    if len(features) < 2:
        raise DataError(f"{where}: found {len(features)} features, needed at least two for a covariance")
    return FeatureSet(gaussian(features), features)


def read_feature_set(path: Path, modality: str, encoder: str, load_encoder: EncoderLoader) -> FeatureSet:
    """A set, from features, from statistics {mu, sigma}, or from media.

    Args:
        path: A .npy or .npz of features [n d], a .npz with `mu` and `sigma`, or a folder of media.
        modality: What the folder holds.
        encoder: Checkpoint that encodes a folder's media.
        load_encoder: Loads it.

    Raises:
        DataError: A folder is given and no encoder, or a file is none of these.
    """
    if path.is_dir():
        if not encoder:
            raise DataError(
                f"{shown_path(path)}: a folder of media needed an encoder: --option encoder=CHECKPOINT, or give its "
                "features as .npy"
            )
        return feature_set(load_encoder(encoder).folder(path, modality), f"{shown_path(path)}: features of {encoder}")
    if path.suffix == ".npz" and {"mu", "sigma"} <= (arrays := read_arrays(path)).keys():
        return FeatureSet(_statistics(arrays, path))
    return feature_set(read_array(path), shown_path(path))


def _statistics(arrays: Mapping[str, np.ndarray], path: Path) -> Gaussian:
    """The mean and covariance of a file of statistics."""
    mean, covariance = np.atleast_2d(arrays["mu"]), np.atleast_2d(arrays["sigma"])
    mean, covariance = (matrix({n: a}, n, path) for n, a in (("mu", mean), ("sigma", covariance)))
    width = mean.shape[1]
    if mean.shape != (1, width) or covariance.shape != (width, width):
        raise DataError(
            f"{shown_path(path)}: found mu of shape {arrays['mu'].shape} and sigma of shape {arrays['sigma'].shape}, "
            "needed [d] and [d d]"
        )
    return Gaussian(mean[0], covariance)

"""Features of generated and real media: read from files, or computed by the encoder that the caller brings."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from modalink.errors import DataError
from modalink.scoring.metrics.frechet import Gaussian, gaussian


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
        DataError: The file is missing or of another kind, or holds no matrix of numbers.
    """
    arrays = read_arrays(path)
    name = next((name for name in names if name in arrays), next(iter(arrays)) if len(arrays) == 1 else None)
    if name is None:
        raise DataError(f"{path}: found arrays {', '.join(arrays)}, needed one of {', '.join(names)}")
    array = arrays[name]
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: found {name} of shape {array.shape} and type {array.dtype}, needed a matrix of numbers [n d]"
        )
    return array.astype(np.float64)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .npy or .npz file by name; pickled objects are refused."""
    if path.suffix not in (".npy", ".npz") or not path.is_file():
        raise DataError(f"{path}: no such .npy or .npz file of features")
    try:
        arrays = np.load(path, allow_pickle=False)
        return {"features": arrays} if isinstance(arrays, np.ndarray) else {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path}: not a file of numpy arrays ({error})") from error


def read_gaussian(path: Path, modality: str, encoder: str, load_encoder: EncoderLoader) -> tuple[Gaussian, int | None]:
    """The Gaussian of a set, and how many features it has: from features, from statistics {mu, sigma}, or from media.

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
                f"{path}: a folder of media needed an encoder: --option encoder=CHECKPOINT, or give its features as "
                ".npy"
            )
        features = load_encoder(encoder).folder(path, modality)
    elif path.suffix == ".npz" and {"mu", "sigma"} <= read_arrays(path).keys():
        arrays = read_arrays(path)
        return Gaussian(arrays["mu"].astype(np.float64), arrays["sigma"].astype(np.float64)), None
    else:
        features = read_array(path)
    return gaussian(features), len(features)

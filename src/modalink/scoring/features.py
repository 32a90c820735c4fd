"""Features of generated and real media: read from files, or computed by a named encoder."""

import importlib
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from modalink.errors import DataError
from modalink.scoring.metrics.frechet import Gaussian, gaussian

Medium = Literal["image", "audio", "video"]


def read_array(path: Path, names: tuple[str, ...] = ("features", "arr_0")) -> Float[np.ndarray, "n d"]:
    """The matrix of a .npy file, or of a .npz file under one of some names.

    Raises:
        DataError: The file is missing or of another kind, or holds no matrix of numbers.
    """
    arrays = read_arrays(path)
    name = next((name for name in names if name in arrays), next(iter(arrays)) if len(arrays) == 1 else None)
    if name is None:
        raise DataError(f"{path}: found arrays {', '.join(arrays)}, needed one of {', '.join(names)}")
    found = arrays[name]
    if found.ndim != 2 or found.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: found {name} of shape {found.shape} and type {found.dtype}, needed a matrix of numbers [n d]"
        )
    return found.astype(np.float64)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .npy or .npz file by name; pickled objects are refused."""
    if path.suffix not in (".npy", ".npz") or not path.is_file():
        raise DataError(f"{path}: no such .npy or .npz file of features")
    try:
        found = np.load(path, allow_pickle=False)
        return {"features": found} if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path}: not a file of numpy arrays ({error})") from error


def read_gaussian(path: Path, encoder: str, medium: Medium) -> tuple[Gaussian, int | None]:
    """The Gaussian of a set, and how many features it has: from features, from statistics {mu, sigma}, or from media.

    Args:
        path: A .npy or .npz of features [n d], a .npz with `mu` and `sigma`, or a folder of media.
        encoder: Checkpoint that encodes a folder's media.
        medium: What the folder holds.
    """
    if path.is_dir():
        features = encode(path, encoder, medium)[1]
    elif path.suffix == ".npz" and {"mu", "sigma"} <= read_arrays(path).keys():
        arrays = read_arrays(path)
        return Gaussian(arrays["mu"].astype(np.float64), arrays["sigma"].astype(np.float64)), None
    else:
        features = read_array(path)
    return gaussian(features), len(features)


def encode(folder: Path, encoder: str, medium: Medium) -> tuple[list[str], Float[np.ndarray, "n d"]]:
    """Names and features of a folder's media.

    Raises:
        DataError: No encoder was named.
    """
    if not encoder:
        raise DataError(
            f"{folder}: a folder of media needed an encoder: --option encoder=CHECKPOINT, or give its features as .npy"
        )
    # torch takes seconds to load, and files of features do without it.
    encoding = importlib.import_module("modalink.evaluation.media_features")
    found: tuple[list[str], Float[np.ndarray, "n d"]] = encoding.encode_folder(folder, encoder, medium)
    return found

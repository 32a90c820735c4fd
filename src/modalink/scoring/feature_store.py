"""What encoders say of media, kept in shards beside them: an extraction that was interrupted resumes behind the last.

FOLDER/features/distance-1f0c.../about.json    whose features they are
                                 made-00000.npz    ids and features of some media
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from modalink import files, json_files
from modalink.errors import DataError
from modalink.scoring.features import matrix, read_arrays

FOLDER, ABOUT = "features", "about.json"
SHARD = 256
"""Media of a shard."""

Kind = Literal["distance", "clip", "yes"]
"""What features are for: the distance of sets, the angle to texts, or how sure the system itself is of what it made."""


@dataclass(frozen=True)
class FeatureStore:
    """Features of one kind by one encoder.

    Args:
        folder: Where its shards are.
        about: Its `kind`, its `encoder`, and whatever else decides the numbers.
    """

    folder: Path
    about: dict[str, Any]

    @classmethod
    def of(cls, results: Path, kind: Kind, encoder: str, **about: Any) -> "FeatureStore":
        """The store of an encoder in a folder of results, which is made when the first shard is written."""
        told = {"kind": kind, "encoder": encoder, **about}
        key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]
        return cls(results / FOLDER / f"{kind}-{key}", told)

    def shard(self, name: str, number: int) -> Path:
        """Where a shard is, whether it is there or not."""
        return self.folder / f"{name}-{number:05d}.npz"

    def has(self, name: str, number: int, ids: Sequence[str]) -> bool:
        """Whether a shard is there and of these very media."""
        path = self.shard(name, number)
        return path.is_file() and list(_ids(read_arrays(path), path)) == list(ids)

    def write(self, name: str, number: int, ids: Sequence[str], features: Float[np.ndarray, "n d"]) -> None:
        """Write a shard, whole or not at all."""
        if not (self.folder / ABOUT).is_file():
            files.write_json(self.folder / ABOUT, self.about)
        # float32 loses nothing that an encoder computed in float32 had.
        with files.replacing(self.shard(name, number)) as beside, beside.open("wb") as file:
            np.savez(file, ids=np.array(ids, dtype=str), features=features.astype(np.float32))

    def read(self, name: str) -> dict[str, Float[np.ndarray, " d"]]:
        """The features of all media of a name, by id.

        Raises:
            DataError: A shard is damaged, or holds NaN or infinity.
        """
        found: dict[str, Float[np.ndarray, " d"]] = {}
        for path in sorted(self.folder.glob(f"{name}-*.npz")):
            arrays = read_arrays(path)
            ids = _ids(arrays, path)
            if len(ids):
                found |= zip(ids, matrix(arrays, "features", path), strict=True)
        return found


def _ids(arrays: dict[str, np.ndarray], path: Path) -> list[str]:
    if arrays.keys() != {"ids", "features"} or len(arrays["ids"]) != len(arrays["features"]):
        raise DataError(f"{path}: found no shard of features; delete it and evaluate again")
    ids: list[str] = arrays["ids"].tolist()
    return ids


def stores(results: Path, kind: Kind, encoder: str = "") -> list[FeatureStore]:
    """The stores of a kind in a folder of results, of one encoder where it is named.

    Raises:
        DataError: What a store says of itself is damaged.
    """
    found = []
    for path in sorted((results / FOLDER).glob(f"{kind}-*/{ABOUT}")):
        about = json_files.read(path, DataError, dict[str, Any], remedy="delete its folder and evaluate again")
        if not encoder or about.get("encoder") == encoder:
            found.append(FeatureStore(path.parent, about))
    return found


def only_store(results: Path, kind: Kind, encoder: str = "") -> FeatureStore | None:
    """The store of a kind, None where there is none.

    Raises:
        DataError: There are several, and no encoder chooses between them.
    """
    found = stores(results, kind, encoder)
    if len(found) > 1:
        names = ", ".join(str(store.about.get("encoder")) for store in found)
        raise DataError(f"{results}: found {kind} features of several encoders: {names}; choose one by its option")
    return found[0] if found else None

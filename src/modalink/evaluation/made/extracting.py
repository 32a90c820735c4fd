"""What encoders say of media, shard by shard into a store; what is there is not computed again."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from modalink import files, hub
from modalink.errors import PartError
from modalink.evaluation.media_features import media_encoder, weights_of
from modalink.hub.kind_embedding import embedder
from modalink.scoring.feature_store import SHARD, FeatureStore, Kind, stores
from modalink.scoring.features import check_finite
from modalink.scoring.made_media import MadeMedium

OnTask = Callable[[str], None]
_TASKS = {
    ("distance", "made"): "features of what was made",
    ("distance", "real"): "features of real media",
    ("clip", "texts"): "captions to compare with",
    ("clip", "made"): "media beside their captions",
    ("yes", "made"): "the system asked about its own media",
}
Encode = Callable[[Sequence[Any]], Float[np.ndarray, "n d"]]


def store_of(results: Path, kind: Kind, encoder: str, sha256: str, **about: Any) -> FeatureStore:
    """The store of an encoder; of older ones of its name, whose weights or settings were others, nothing is kept."""
    own = FeatureStore.of(results, kind, encoder, sha256=sha256, **about)
    for store in stores(results, kind, encoder):
        if store.folder != own.folder:
            shutil.rmtree(store.folder)
    return own


def identity(encoder: str) -> str:
    """Hash of the weights of an encoder that the user names: a file, a folder or a hub id, perhaps behind its kind.

    Raises:
        PartError: There is none.
    """
    encoder = weights_of(encoder)
    path = files.named(encoder, PartError)
    return files.known_sha256(path) if path.is_file() else hub.identity(encoder).sha256


def extract(
    store: FeatureStore, name: str, ids: Sequence[str], things: Sequence[Any], encode: Encode, on_task: OnTask
) -> None:
    """Put the features of things into a store, those of a shard at a time.

    Args:
        store: The store.
        name: What they are: `made`, `real` or `texts`.
        ids: What each is called.
        things: Files, texts, or whatever `encode` takes.
        encode: From some of them to their features.
        on_task: Hears how far it is.

    Raises:
        DataError: An encoder gives NaN or infinity.
    """
    for number, start in enumerate(range(0, len(ids), SHARD)):
        of_shard = list(ids[start : start + SHARD])
        if store.has(name, number, of_shard):
            continue
        on_task(f"{_TASKS[store.about['kind'], name]}: {start} of {len(ids)}")
        features = encode(things[start : start + SHARD])
        check_finite(features, f"features of {name} by {store.about['encoder']}")
        store.write(name, number, of_shard, features)
    # A shorter evaluation before had other shards behind these.
    for number, path in enumerate(sorted(store.folder.glob(f"{name}-*.npz"))):
        if number * SHARD >= len(ids):
            path.unlink()


def extract_distance(
    results: Path,
    encoder: str,
    modality: str,
    made: Sequence[MadeMedium],
    real: Sequence[Path],
    device: str,
    on_task: OnTask,
) -> None:
    """The features behind the distance of made media to real ones."""
    reader = media_encoder(encoder, device=device)
    store = store_of(results, "distance", encoder, identity(encoder))

    def encode(paths: Sequence[Path]) -> Float[np.ndarray, "n d"]:
        return reader.media(paths, modality)

    there = [one for one in made if one.file]
    extract(store, "made", [one.id for one in there], [results / one.file for one in there], encode, on_task)
    extract(store, "real", [str(path) for path in real], real, encode, on_task)


def extract_angles(
    results: Path,
    clip: str,
    modality: str,
    made: Sequence[MadeMedium],
    prefix: str,
    device: str,
    on_task: OnTask,
) -> None:
    """The features behind the cosines of media with their captions.

    Raises:
        PartError: The encoder embeds no texts.
    """
    reader = embedder(clip, device=device)
    store = store_of(results, "clip", clip, identity(clip), prefix=prefix)
    captions = {one.prompt: prefix + one.caption for one in made}
    extract(store, "texts", list(captions), list(captions.values()), reader.texts, on_task)

    def encode(paths: Sequence[Path]) -> Float[np.ndarray, "n d"]:
        return reader.aligned(paths, modality)

    there = [one for one in made if one.file]
    extract(store, "made", [one.id for one in there], [results / one.file for one in there], encode, on_task)

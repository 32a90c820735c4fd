"""CLIPScore: how well captions fit their images, by the angle between their embeddings.

Source: Hessel et al. 2021; jmhessel/clipscore, clipscore.py.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

WEIGHT = 2.5
PREFIX = "A photo depicts "


def _unit(vectors: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def cosines(images: Float[np.ndarray, "n d"], captions: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """The cosine of each pair; over the frames of videos their mean is CLIPSIM."""
    return (_unit(images.astype(np.float64)) * _unit(captions.astype(np.float64))).sum(1)


def clip_scores(images: Float[np.ndarray, "n d"], captions: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """2.5 · max(cosine, 0) of each pair."""
    return WEIGHT * np.maximum(cosines(images, captions), 0)


def ref_clip_scores(
    scores: Float[np.ndarray, " n"], captions: Float[np.ndarray, "n d"], references: Sequence[Float[np.ndarray, "_ d"]]
) -> Float[np.ndarray, " n"]:
    """The harmonic mean of each CLIPScore and the caption's best cosine with its references."""
    unit = _unit(captions.astype(np.float64))
    best = np.array(
        [(_unit(refs.astype(np.float64)) @ caption).max() for caption, refs in zip(unit, references, strict=True)]
    )
    total = scores + best
    return np.divide(2 * scores * best, total, out=np.zeros_like(total), where=total != 0)

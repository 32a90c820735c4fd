"""How far a set of made media is from a set of real ones, by their features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from modalink.scoring.bootstrap import Sample, means, means_by
from modalink.scoring.features import FeatureSet
from modalink.scoring.metrics import frechet, kernel_distance


@dataclass(frozen=True)
class SetDistance:
    """The distances of two sets.

    Args:
        frechet: Fréchet's distance, FID by its kind of features.
        metrics: The kernel distance of the whole sets, where their features are known; the mean and standard deviation
            over subsets, which is published as KID; how many features there are, and how wide.
        samples: What the error bars of `frechet_distance` and `kernel_distance` are computed from: how far each made
            medium moves them, to first order, in the order of the features.
        notes: What a reader of the numbers must know.
    """

    frechet: float
    metrics: dict[str, float]
    samples: Mapping[str, Sample] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def set_distance(made: FeatureSet, real: FeatureSet, owners: Sequence[str] = ()) -> SetDistance:
    """The distances of two sets.

    Args:
        made: Features of made media.
        real: Those of real ones.
        owners: Whose each made medium is, where several of one prompt are drawn together; each by itself by default.

    Raises:
        DataError: The widths differ, or the numbers are too large.
    """
    value = frechet.frechet_distance(made.gaussian, real.gaussian)
    width = made.gaussian.mean.size
    counts = {name: s.count for name, s in (("generated", made), ("real", real)) if s.count is not None}
    metrics = {"dimensions": float(width), **{name: float(count) for name, count in counts.items()}}
    samples: dict[str, Sample] = {}

    def sampled(effects: Float[np.ndarray, " n"]) -> Sample:
        return means_by(effects, owners) if owners else means(effects)

    if made.features is not None:
        samples["frechet_distance"] = sampled(value + frechet.influences(made.features, real.gaussian))
    if made.features is not None and real.features is not None:
        whole = kernel_distance.kernel_distance(made.features, real.features)
        subsets = kernel_distance.subset_distances(made.features, real.features)
        metrics |= {"kernel_distance": whole, "kid_mean": float(subsets.mean()), "kid_std": float(subsets.std())}
        samples["kernel_distance"] = sampled(whole + kernel_distance.influences(made.features, real.features))
    return SetDistance(value, metrics, samples, tuple(_notes(counts, width)))


def _notes(counts: Mapping[str, int], width: int) -> list[str]:
    notes = []
    if few := [str(count) for count in counts.values() if count <= width]:
        notes.append(
            f"{' and '.join(few)} samples for {width} dimensions: the last digits are noise, and the distance is biased"
        )
    smallest = min(counts.values(), default=0)
    if len(counts) == 2 and smallest < kernel_distance.SUBSET_SIZE:
        notes.append(f"kid_mean is of subsets of {smallest}, published numbers are of {kernel_distance.SUBSET_SIZE:,}")
    return notes

"""Inception score: whether generated images are clear, and differ."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from modalink.errors import DataError
from modalink.scoring.benchmark import ScoreOptions, SetBenchmark, Summary
from modalink.scoring.features import EncoderLoader, read_array
from modalink.scoring.metrics.inception import from_logits, inception_score
from modalink.scoring.rows import shown_path


class InceptionOptions(ScoreOptions):
    """Options of the inception score."""

    input: Literal["probabilities", "logits"] = "probabilities"
    """What the classifier's outputs are."""
    splits: int = Field(default=10, ge=1)
    """Parts whose scores are averaged."""
    shuffle_seed: int | None = Field(default=None, ge=0, lt=1 << 32)
    """Shuffles the samples first; torch-fidelity takes 2020, the original keeps the order."""


def _compare(
    predictions: Path, annotations: Path | None, options: InceptionOptions, load_encoder: EncoderLoader
) -> Summary:
    values = read_array(predictions, ("probabilities", "logits", "features", "arr_0"))
    if options.input == "logits":
        values = from_logits(values)
    try:
        mean, std = inception_score(values, options.splits, options.shuffle_seed)
    except DataError as error:
        raise DataError(f"{shown_path(predictions)}: {error}") from error
    notes = ["the published number needs Inception-v3's 1,008 classes with the TensorFlow weights"]
    return Summary(mean, {"mean": mean, "std": std}, None, notes, count=len(values))


BENCHMARKS = {
    "inception_score": SetBenchmark(
        title="Inception score",
        rule="exp of the mean KL divergence of class probabilities from their mean, averaged over splits in order",
        source="Salimans et al. 2016; openai/improved-gan; toshas/torch-fidelity with shuffle_seed=2020",
        unit="points",
        annotations="none",
        predictions=".npy or .npz of class probabilities (or logits) [n c] of the generated images",
        aliases=("is",),
        options=InceptionOptions,
        compare=_compare,
    ),
}

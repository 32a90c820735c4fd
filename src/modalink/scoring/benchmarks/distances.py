"""Distances between generated and real media."""

from pathlib import Path

from modalink.errors import DataError
from modalink.scoring.benchmark import ScoreOptions, SetBenchmark, Summary
from modalink.scoring.features import EncoderLoader, read_feature_set
from modalink.scoring.rows import shown_path
from modalink.scoring.set_distance import set_distance


class DistanceOptions(ScoreOptions):
    """Options of distances."""

    encoder: str = ""
    """Checkpoint that turns folders of media into features; the number belongs to it."""


def distance(title: str, modality: str, source: str, features: str) -> SetBenchmark:
    """A Fréchet distance of features of media of one modality."""

    def compare(generated: Path, real: Path | None, options: DistanceOptions, load_encoder: EncoderLoader) -> Summary:
        if real is None:
            raise DataError(f"{title}: needed --annotations: features, statistics or a folder of the real {modality}s")
        left, right = (read_feature_set(path, modality, options.encoder, load_encoder) for path in (generated, real))
        try:
            found = set_distance(left, right)
        except DataError as error:
            raise DataError(f"{shown_path(generated)} and {shown_path(real)}: {error}") from error
        notes = [f"features of {options.encoder or f'the given files; the published number needs {features}'}"]
        metrics = {"distance": found.frechet} | found.metrics
        sample = found.samples.get("frechet_distance")
        samples = {name: of for name, of in found.samples.items() if name in metrics}
        return Summary(found.frechet, metrics, sample, [*notes, *found.notes], count=left.count, samples=samples)

    return SetBenchmark(
        title=title,
        rule=f"Fréchet distance of {modality} features as Gaussians, sample covariance; beside it the kernel distance; "
        "lower is better",
        source=source,
        unit="distance",
        annotations=f"the real {modality}s: .npy or .npz of features [n d], .npz with mu and sigma, or a folder with "
        f"--option encoder",
        predictions=f"the generated {modality}s, in one of the same forms; official features: {features}",
        options=DistanceOptions,
        compare=compare,
    )


BENCHMARKS = {
    "fid": distance(
        "FID",
        "image",
        "Heusel et al. 2017; mseitzer/pytorch-fid; KID: Bińkowski et al. 2018",
        "Inception-v3 pool3 (2,048) with the TensorFlow weights",
    ),
    "fvd": distance(
        "FVD", "video", "Unterthiner et al. 2018", "I3D (Kinetics-400) of 16 frames at 224 pixels; say how many clips"
    ),
    "fad": distance(
        "FAD",
        "audio",
        "Kilgour et al. 2019; gudgud96/frechet-audio-distance",
        "VGGish of 16 kHz mono, or name PANN or CLAP",
    ),
}

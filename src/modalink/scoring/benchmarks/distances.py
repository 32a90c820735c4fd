"""Distances between generated and real media."""

from pathlib import Path

from modalink.errors import DataError
from modalink.scoring.benchmark import ScoreOptions, SetBenchmark, Summary
from modalink.scoring.features import EncoderLoader, read_gaussian
from modalink.scoring.metrics.frechet import frechet_distance
from modalink.scoring.rows import shown_path


class DistanceOptions(ScoreOptions):
    """Options of distances."""

    encoder: str = ""
    """Checkpoint that turns folders of media into features; the number belongs to it."""


def distance(title: str, modality: str, source: str, features: str) -> SetBenchmark:
    """A Fréchet distance of features of media of one modality."""

    def compare(generated: Path, real: Path | None, options: DistanceOptions, load_encoder: EncoderLoader) -> Summary:
        if real is None:
            raise DataError(f"{title}: needed --annotations: features, statistics or a folder of the real {modality}s")
        (left, n), (right, m) = (
            read_gaussian(path, modality, options.encoder, load_encoder) for path in (generated, real)
        )
        try:
            value = frechet_distance(left, right)
        except DataError as error:
            raise DataError(f"{shown_path(generated)} and {shown_path(real)}: {error}") from error
        notes = [f"features of {options.encoder or f'the given files; the published number needs {features}'}"]
        if few := [str(count) for count in (n, m) if count is not None and count <= left.mean.size]:
            notes.append(
                f"{' and '.join(few)} samples for {left.mean.size} dimensions: the last digits are noise, and the "
                f"distance is biased"
            )
        metrics = {"distance": value, "dimensions": float(left.mean.size)}
        metrics |= {name: float(count) for name, count in (("generated", n), ("real", m)) if count is not None}
        return Summary(value, metrics, None, notes, count=n)

    return SetBenchmark(
        title=title,
        rule=f"Fréchet distance of {modality} features as Gaussians, sample covariance; lower is better",
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
        "Heusel et al. 2017; mseitzer/pytorch-fid",
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

"""CLIPScore: whether captions fit their images, without right captions; RefCLIPScore, with them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from modalink.errors import DataError, brief, shown
from modalink.kinds import GivenPath
from modalink.scoring.benchmark import Grade, GradedQuestion, Question, ScoreOptions, SetBenchmark, Summary
from modalink.scoring.bootstrap import means
from modalink.scoring.features import EncoderLoader, check_finite, matrix, read_arrays
from modalink.scoring.metrics.clip_score import PREFIX, clip_scores, cosines, ref_clip_scores
from modalink.scoring.predictions import REPLIES, as_text, read_predictions
from modalink.scoring.rows import shown_path


class ClipOptions(ScoreOptions):
    """Options of CLIPScore."""

    encoder: str = ""
    """Checkpoint that embeds images and captions; the published numbers are of openai/clip-vit-base-patch32."""
    references: GivenPath | None = None
    """File {image: [captions]} of right captions, for RefCLIPScore."""


def _compare(predictions: Path, annotations: Path | None, options: ClipOptions, load_encoder: EncoderLoader) -> Summary:
    if predictions.suffix == ".npz":
        ids, arrays = _given(predictions)
    else:
        ids, arrays = _embedded(predictions, annotations, options, load_encoder)
    images, captions = arrays.images, arrays.captions
    _check(predictions, images=images, captions=captions, references=np.concatenate(arrays.references or [captions]))
    if images.shape != captions.shape:
        raise DataError(
            f"{shown_path(predictions)}: found images of shape {images.shape} and captions of shape {captions.shape}, "
            "needed images [n d] and captions [n d]"
        )
    scores = clip_scores(images, captions)
    metrics = {"CLIPScore": float(scores.mean()), "cosine": float(cosines(images, captions).mean())}
    if arrays.references:
        metrics["RefCLIPScore"] = float(ref_clip_scores(scores, captions, arrays.references).mean())
    items = [GradedQuestion(Question(name), Grade(score)) for name, score in zip(ids, scores.tolist(), strict=True)]
    notes = [f"embeddings of {options.encoder or 'the given file'}; half precision moves the fourth digit"]
    return Summary(metrics["CLIPScore"], metrics, means(scores), notes, items, len(items))


class _Embeddings(NamedTuple):
    """Embeddings of images [n d], captions [n d] and, of each image, its right captions [r d]; none where not given."""

    images: np.ndarray
    captions: np.ndarray
    references: list[np.ndarray]


def _check(path: Path, **arrays: np.ndarray) -> None:
    """A row without a direction has no angle."""
    for name, array in arrays.items():
        check_finite(array, f"{shown_path(path)}: {name}")
        if array.shape[1] and not (lengths := np.linalg.norm(array, axis=1)).all():
            raise DataError(f"{shown_path(path)}: {name}: row {int(np.argmin(lengths))} (from 0) is all zero")


def _given(path: Path) -> tuple[list[str], _Embeddings]:
    """The embeddings of a file; images may have different numbers of references."""
    arrays = read_arrays(path)
    if not {"images", "captions"} <= arrays.keys():
        shapes = {name: array.shape for name, array in arrays.items()}
        raise DataError(f"{shown_path(path)}: found {shown(shapes)}, needed images [n d] and captions [n d]")
    images, captions = matrix(arrays, "images", path), matrix(arrays, "captions", path)
    references: list[np.ndarray] = []
    if "references" in arrays:
        flat = arrays["references"].reshape(-1, arrays["references"].shape[-1] if arrays["references"].ndim else 1)
        rows = matrix({"references": flat}, "references", path)
        owners = arrays.get("reference_images", np.repeat(np.arange(len(images)), len(rows) // len(images)))
        if (
            owners.shape != rows.shape[:1]
            or rows.shape[1] != images.shape[1]
            or set(owners.tolist()) != set(range(len(images)))
        ):
            raise DataError(
                f"{shown_path(path)}: found references of shape {arrays['references'].shape} for {len(images)} images, "
                "needed [n r d], or [m d] with reference_images [m], the row of the image of each"
            )
        references = [rows[owners == image] for image in range(len(images))]
    return [str(n) for n in range(len(images))], _Embeddings(images, captions, references)


def _embedded(
    predictions: Path, folder: Path | None, options: ClipOptions, load_encoder: EncoderLoader
) -> tuple[list[str], _Embeddings]:
    """The embeddings of captions, images and references by the encoder."""
    if folder is None or not folder.is_dir() or not options.encoder:
        raise DataError(
            f"{shown_path(predictions)}: captions needed --annotations FOLDER of images and --option encoder=CHECKPOINT"
        )
    captions = {key: as_text(reply, where) for key, reply, where in _by_image(predictions)}
    paths = {name: path for path in sorted(folder.iterdir()) for name in (path.stem, path.name)}
    if lost := [name for name in captions if name not in paths]:
        few = ", ".join(map(brief, lost[:3]))
        raise DataError(f"{shown_path(folder)}: found no image for {len(lost)} captions ({few})")
    texts = [PREFIX + caption for caption in captions.values()]
    right = _references(options.references, list(captions)) if options.references else []
    encoder = load_encoder(options.encoder)
    images = encoder.media([paths[name] for name in captions], "image")
    flat = encoder.texts([text for group in right for text in group]) if right else np.empty((0, 0))
    references = np.split(flat, np.cumsum([len(group) for group in right])[:-1]) if right else []
    return list(captions), _Embeddings(images, encoder.texts(texts), references)


def _by_image(path: Path) -> Iterator[tuple[str, Any, str]]:
    """The image, the text and the position of each row, every image once."""
    seen: set[str] = set()
    for p in read_predictions(path, replies=(*REPLIES, "references", "captions")):
        key = next(iter(p.keys), "")
        if not key or key in seen:
            raise DataError(f"{p.where}: found {f'{brief(key)} twice' if key else 'no image'}, needed every image once")
        seen.add(key)
        yield key, p.reply, p.where
    if not seen:
        raise DataError(f"{shown_path(path)}: found no captions")


def _references(path: Path, names: Sequence[str]) -> list[list[str]]:
    """The right captions of each image, with the prefix."""
    right = {}
    for key, reply, where in _by_image(path):
        right[key] = [PREFIX + as_text(text, where) for text in (reply if isinstance(reply, list) else [reply])]
    groups = [right[name] for name in names if right.get(name)]
    if len(groups) != len(names):
        raise DataError(f"{shown_path(path)}: found references for {len(groups)} of {len(names)} captions")
    return groups


BENCHMARKS = {
    "clipscore": SetBenchmark(
        title="CLIPScore",
        rule="mean of 2.5 · max(cosine, 0) of image and caption; RefCLIPScore: harmonic mean with the best reference's "
        "cosine",
        source="Hessel et al. 2021; jmhessel/clipscore",
        unit="fraction",
        annotations="folder of images, where captions are given as text",
        predictions=".npz with images [n d], captions [n d] and references [n r d], or [m d] with the row of the image "
        "of each in reference_images [m]; or {image: caption} with --option encoder",
        options=ClipOptions,
        compare=_compare,
    ),
}

"""CLIPScore: whether captions fit their images, without right captions; RefCLIPScore, with them."""

from pathlib import Path
from typing import Any

import numpy as np

from modalink.errors import DataError
from modalink.scoring.benchmark import BenchmarkOptions, Grade, GradedQuestion, Question, SetBenchmark, Summary
from modalink.scoring.bootstrap import means
from modalink.scoring.features import EncoderLoader, read_arrays
from modalink.scoring.metrics.clip_score import PREFIX, clip_scores, cosines, ref_clip_scores
from modalink.scoring.predictions import as_text, read_predictions


class ClipOptions(BenchmarkOptions):
    """Options of CLIPScore."""

    encoder: str = ""
    """Checkpoint that embeds images and captions; the published numbers are of openai/clip-vit-base-patch32."""
    references: Path | None = None
    """File {image: [captions]} of right captions, for RefCLIPScore."""


def _compare(predictions: Path, annotations: Path | None, options: ClipOptions, load_encoder: EncoderLoader) -> Summary:
    if predictions.suffix == ".npz":
        arrays = read_arrays(predictions)
        ids = [str(n) for n in range(len(arrays.get("images", ())))]
    else:
        ids, arrays = _embedded(predictions, annotations, options, load_encoder)
    if not {"images", "captions"} <= arrays.keys() or arrays["images"].shape != arrays["captions"].shape or not ids:
        raise DataError(
            f"{predictions}: found { ({n: a.shape for n, a in arrays.items()}) }, needed images [n d] and captions "
            f"[n d]"
        )
    images, captions = arrays["images"].astype(float), arrays["captions"].astype(float)
    scores = clip_scores(images, captions)
    metrics = {"CLIPScore": float(scores.mean()), "cosine": float(cosines(images, captions).mean())}
    if "references" in arrays:
        metrics["RefCLIPScore"] = float(ref_clip_scores(scores, captions, list(arrays["references"])).mean())
    items = [GradedQuestion(Question(name), Grade(score)) for name, score in zip(ids, scores.tolist(), strict=True)]
    notes = [f"embeddings of {options.encoder or 'the given file'}; half precision moves the fourth digit"]
    return Summary(metrics["CLIPScore"], metrics, means(scores), notes, items, len(items))


def _embedded(
    predictions: Path, folder: Path | None, options: ClipOptions, load_encoder: EncoderLoader
) -> tuple[list[str], dict[str, Any]]:
    """The embeddings of captions, images and references by the encoder."""
    if folder is None or not folder.is_dir() or not options.encoder:
        raise DataError(
            f"{predictions}: captions needed --annotations FOLDER of images and --option encoder=CHECKPOINT"
        )
    captions = {p.keys[0]: as_text(p.reply, p.where) for p in read_predictions(predictions) if p.keys}
    paths = {name: path for path in sorted(folder.iterdir()) for name in (path.stem, path.name)}
    if lost := [name for name in captions if name not in paths]:
        raise DataError(f"{folder}: found no image for {len(lost)} captions ({', '.join(lost[:3])})")
    encoder = load_encoder(options.encoder)
    arrays: dict[str, Any] = {
        "images": encoder.media([paths[name] for name in captions], "image"),
        "captions": encoder.texts([PREFIX + caption for caption in captions.values()]),
    }
    if options.references:
        right = {
            p.keys[0]: p.reply if isinstance(p.reply, list) else [p.reply]
            for p in read_predictions(options.references)
            if p.keys
        }
        groups = [[PREFIX + as_text(text, name) for text in right[name]] for name in captions if name in right]
        if len(groups) != len(captions):
            raise DataError(f"{options.references}: found references for {len(groups)} of {len(captions)} captions")
        flat = encoder.texts([text for group in groups for text in group])
        arrays["references"] = np.split(flat, np.cumsum([len(group) for group in groups])[:-1])
    return list(captions), arrays


BENCHMARKS = {
    "clipscore": SetBenchmark(
        title="CLIPScore",
        rule="mean of 2.5 · max(cosine, 0) of image and caption; RefCLIPScore: harmonic mean with the best reference's "
        "cosine",
        source="Hessel et al. 2021; jmhessel/clipscore",
        unit="fraction",
        annotations="folder of images, where captions are given as text",
        predictions=".npz with images [n d], captions [n d] and references [n r d]; or {image: caption} with --option "
        "encoder",
        options=ClipOptions,
        compare=_compare,
    ),
}

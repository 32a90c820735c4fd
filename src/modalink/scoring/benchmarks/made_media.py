"""Media that a model makes of the captions of known data sets, beside the real media."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from modalink.errors import DataError
from modalink.kinds import GivenPath
from modalink.scoring.annotations import text_of
from modalink.scoring.benchmark import MadeOptions, MediaBenchmark, Question, Setup, Summary
from modalink.scoring.benchmarks.captions import ImageCaptionOptions
from modalink.scoring.benchmarks.captions import questions as captioned
from modalink.scoring.made_summary import numbers
from modalink.scoring.metrics.clip_score import PREFIX
from modalink.scoring.predictions import as_text
from modalink.scoring.rows import Row, read_member, read_rows

UNITS = {"frechet_distance": "distance", "clip_score": "points"}
"""Units of scores that are no fractions."""
PICTURES = {"encoder": "Fréchet distance (FID)", "clip": "CLIPScore"}


class CaptionedOptions(MadeOptions):
    """Options of media of captions."""

    encoder: str = ""
    """Who gives the features of the distance: pytorch-fid's file of Inception weights, or a checkpoint."""
    clip: str = ""
    """Checkpoint that embeds texts and media alike, for the cosine of each medium with its caption."""
    prefix: str = ""
    """Words before each caption that is embedded."""
    real: GivenPath | None = None
    """Real media (a folder), their features or statistics (.npy, .npz), in the place of those of the annotations."""
    captions: Literal["first", "all", "random"] = "first"
    """Which of several captions of one medium are made."""
    split: str = "test"
    """Split of Karpathy's dataset_*.json."""


class CocoOptions(CaptionedOptions):
    """Options of images of captions."""

    prefix: str = PREFIX
    """Words before each caption that is embedded, CLIPScore's own by default."""


Read = Callable[[Path, Any], Iterator[Question]]
"""From a file of annotations to a question for each real medium, its captions in `gold`."""


def _captioned(path: Path, options: CaptionedOptions) -> Iterator[Question]:
    return captioned(path, ImageCaptionOptions(split=options.split))


def _of_videos(path: Path, options: CaptionedOptions) -> Iterator[Question]:
    """MSR-VTT's captions: `sentences` of `videos` with their splits, or rows {video_id, sentence}."""
    captions: dict[str, list[str]] = {}
    for row in (*read_member(path, "sentences"),) or read_rows(path):
        caption = row.fields.get("sentence", row.fields.get("caption"))
        captions.setdefault(_name(row), []).append(as_text(caption, row.where))
    splits = {_name(row): str(row.fields.get("split", "")) for row in read_member(path, "videos")}
    for name, texts in captions.items():
        if splits.get(name, options.split) == options.split:
            yield Question(name, tuple(texts), media=name)


def _of_shapes(path: Path, options: CaptionedOptions) -> Iterator[Question]:
    """Cap3D's table of (id, caption) without a header, or rows that name them."""
    for number, row in enumerate(read_rows(path)):
        fields = row.fields
        name, caption = text_of(fields, "uid", "id", "object_id"), text_of(fields, "caption", "text", "prompt")
        if not caption and len(fields) == 2:  # the first row was taken for a header
            if not number:
                yield Question(next(iter(fields)), ([*fields][1],), media=next(iter(fields)))
            name, caption = map(str, fields.values())
        yield Question(name, (caption,), media=name)


def _name(row: Row) -> str:
    name = text_of(row.fields, "video_id", "video", "id")
    if not name:
        raise DataError(f"{row.where}: found fields {', '.join(row.fields)}, needed video_id and sentence")
    return name


def _prompts(read: Read) -> Callable[[Path, CaptionedOptions], Iterator[Question]]:
    """A question for each caption that is chosen."""

    def prompts(path: Path, options: CaptionedOptions) -> Iterator[Question]:
        chosen = (one for question in read(path, options) for one in _chosen(question, options))
        return chosen if options.sample is None else iter(_drawn(list(chosen), options))

    return prompts


def _chosen(question: Question, options: CaptionedOptions) -> list[Question]:
    """Those of a medium's captions that are made, each as a question of its own."""
    captions: Sequence[str] = question.gold
    if options.captions == "all":
        numbered = list(enumerate(captions))
    elif options.captions == "random":
        digest = hashlib.sha256(f"{options.seed}/{question.id}".encode()).digest()
        number = int.from_bytes(digest[:8], "big") % len(captions)
        numbered = [(number, captions[number])]
    else:
        numbered = [(0, captions[0])]
    several = options.captions == "all" and len(captions) > 1
    return [
        Question(
            f"{question.id}-{number}" if several else question.id,
            text=caption,
            media=question.media,
            other_names=question.other_names,
        )
        for number, caption in numbered
    ]


def _drawn(questions: list[Question], options: CaptionedOptions) -> list[Question]:
    """Some of all, in their order."""
    if options.sample is None or options.sample >= len(questions):
        return questions
    rows = np.random.default_rng(options.seed).choice(len(questions), options.sample, replace=False)
    return [questions[row] for row in sorted(rows)]


def made_media(
    title: str,
    modality: str,
    read: Read,
    *,
    source: str,
    annotations: str,
    files: tuple[str, ...],
    needs: dict[str, str],
    options: type[CaptionedOptions] = CaptionedOptions,
    rule: str,
) -> MediaBenchmark:
    """A benchmark of media of captions."""

    def compare(
        results: Path, annotations: Path | None, options: CaptionedOptions, only: Collection[str] | None
    ) -> Summary:
        found = numbers(results, modality, encoder=options.encoder, clip=options.clip, real=options.real, only=only)
        if not found.metrics:
            raise DataError(f"{results}: nobody has looked at its media; start the evaluation again with " + _or(needs))
        return found.summary(UNITS)

    return MediaBenchmark(
        title=title,
        rule=rule,
        source=source,
        unit="fraction",
        annotations=annotations,
        predictions="the folder in which `modalink evaluate` made them",
        options=options,
        questions=_prompts(read),
        setup=Setup(files=files, modality=modality, mixed=True),
        needs=needs,
        compare=compare,
    )


def _or(needs: dict[str, str]) -> str:
    return " or ".join(f"--option {name}=CHECKPOINT ({what})" for name, what in needs.items())


BENCHMARKS = {
    "coco_images": made_media(
        "COCO captions to images",
        "image",
        _captioned,
        source="Lin et al. 2014; FID: Heusel et al. 2017; KID: Bińkowski et al. 2018; CLIPScore: Hessel et al. 2021; "
        "p_yes after Lin et al. 2024 (VQAScore)",
        annotations="captions_val2014.json or dataset_coco.json, with the images",
        files=("dataset_coco.json", "captions_val2014.json", "captions_val2017.json"),
        needs=PICTURES,
        options=CocoOptions,
        rule="Fréchet distance to the real images; CLIPScore 2.5 · max(cosine, 0) with the caption; P(yes) of the "
        "system itself",
    ),
    "audiocaps_sounds": made_media(
        "AudioCaps captions to sounds",
        "audio",
        _captioned,
        source="Kim et al. 2019; FAD: Kilgour et al. 2019",
        annotations="test.csv: audiocap_id, youtube_id, start_time, caption, with the sounds",
        files=("test.csv",),
        needs={"encoder": "Fréchet audio distance (FAD)", "clip": "CLAP score"},
        rule="Fréchet distance to the real sounds; cosine with the caption (CLAP score)",
    ),
    "msrvtt_videos": made_media(
        "MSR-VTT captions to videos",
        "video",
        _of_videos,
        source="Xu et al. 2016; FVD: Unterthiner et al. 2018; CLIPSIM: Wu et al. 2021",
        annotations="test_videodatainfo.json: {videos: [{video_id, split}], sentences: [{video_id, caption}]}, or rows "
        "{video_id, sentence}, with the videos",
        files=("test_videodatainfo.json", "MSRVTT_JSFUSION_test.csv", "msrvtt_test_1k.json"),
        needs={"encoder": "Fréchet video distance (FVD)", "clip": "CLIPSIM"},
        rule="Fréchet distance to the real videos; mean cosine of the frames with the caption (CLIPSIM)",
    ),
    "cap3d_shapes": made_media(
        "Cap3D captions to shapes",
        "points",
        _of_shapes,
        source="Luo et al. 2023",
        annotations="Cap3D_automated_*.csv: rows of an id and a caption",
        files=("Cap3D_automated_*.csv", "Cap3D_*.csv"),
        needs={"clip": "CLIP score of renders", "encoder": "Fréchet distance of renders to those of real shapes"},
        rule="mean cosine of 12 views with the caption; Fréchet distance of the views' mean features",
    ),
}

"""Captions of images and sounds, against several right ones each."""

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from modalink.errors import DataError
from modalink.scoring.annotations import text_of
from modalink.scoring.benchmark import (
    BenchmarkOptions,
    GradedQuestion,
    Question,
    QuestionBenchmark,
    Setup,
    Summary,
    plain_replies,
    ungraded,
)
from modalink.scoring.bootstrap import means
from modalink.scoring.matching import LONGEST_TEXT
from modalink.scoring.metrics.captions import CaptionScores, Tokenizer, score
from modalink.scoring.predictions import Prediction, as_text, identity, row_id
from modalink.scoring.rows import Row, read_member, read_rows

IDS = ("image_id", "question_id", "id", "youtube_id", "file_name", "image", "video_id", "audiocap_id")
REPLIES = (
    "prediction",
    "caption",
    "caption_predicted",
    "text",
    "response",
    "hypothesis",
    "candidate",
    "answer",
    "output",
    "value",
)
REFERENCES = ("references", "refs", "captions", "raw", "sentences", "value")
_NUMBERED = re.compile(r"caption_?\d+|reference_?\d+")


class CaptionOptions(BenchmarkOptions):
    """Options of captions."""

    tokenizer: Tokenizer = "auto"
    """The Stanford program, its double in Python, or the program where Java is there."""
    meteor: bool = True
    """Whether METEOR is computed where Java is there; it takes ten seconds to start."""
    spice: bool = True
    """Whether SPICE is computed where Java and its models are there; it takes minutes."""


class ImageCaptionOptions(CaptionOptions):
    """Options of captions of images."""

    split: str = "test"
    """Split of Karpathy's dataset_*.json."""


def questions(path: Path, options: ImageCaptionOptions) -> Iterator[Question]:
    """Items with their right captions: COCO's file, Karpathy's, rows of references, or one caption a row."""
    splits = (None, options.split, *(["restval"] if options.split == "train" else []))
    rows = (row for row in _rows(path) if "sentences" not in row.fields or row.fields.get("split") in splits)
    domains, files = (_of_images(path, name) for name in ("domain", "file_name"))
    for question in _by_item(rows):
        if question.id in domains:
            question.groups = (("domain", domains[question.id]),)
        question.media = files.get(question.id, question.media)
        yield question


def sound_questions(path: Path, options: CaptionOptions) -> Iterator[Question]:
    """Items with their right captions: rows of references, or one caption a row."""
    return _by_item(_rows(path))


def _by_item(rows: Iterable[Row]) -> Iterator[Question]:
    """One question an item, of all the rows about it."""
    references: dict[str, list[str]] = {}
    files: dict[str, dict[str, None]] = {}
    numbered: set[str] = set()
    for number, row in enumerate(rows):
        key = _id(row)
        if not key:
            numbered.add(key := str(number))
        references.setdefault(key, []).extend(_references(row))
        files.setdefault(key, {}).update(dict.fromkeys(_files(row)))
    for key, captions in references.items():
        media, *others = files[key]
        yield Question(key, tuple(captions), media=media, other_names=tuple(others), numbered=key in numbered)


def _rows(path: Path) -> Iterator[Row]:
    """The captions of COCO's files, which list the images first; the images of Karpathy's; or plain rows."""
    captions = read_member(path, "annotations")
    first = next(captions, None)
    yield from read_rows(path, ("images",)) if first is None else itertools.chain([first], captions)


def _id(row: Row) -> str:
    if "sentences" in row.fields and (
        name := next((n for n in ("cocoid", "filename", "imgid") if n in row.fields), "")
    ):
        return identity(row.fields[name], row.where)
    return row_id(row, IDS)


def _references(row: Row) -> list[str]:
    fields = row.fields
    several = next((fields[name] for name in REFERENCES if name in fields), None)
    if several is None:
        several = [fields[name] for name in fields if _NUMBERED.fullmatch(name)] or (
            [fields["caption"]] if "caption" in fields else []
        )
    entries = several if isinstance(several, list) else [several]
    texts = [entry.get("raw", entry.get("caption")) if isinstance(entry, dict) else entry for entry in entries]
    if not texts:
        raise DataError(
            f"{row.where}: found fields {', '.join(map(repr, fields))}, needed right captions: caption or references"
        )
    captions = [as_text(text, row.where) for text in texts]
    if (longest := max(map(len, captions))) > LONGEST_TEXT:
        raise DataError(f"{row.where}: found a caption of {longest:,} characters, needed {LONGEST_TEXT:,} at most")
    return captions


def _files(row: Row) -> tuple[str, ...]:
    """What the file of a row may be called; an id names it too where nothing else does."""
    if file := text_of(row.fields, "filename", "file_name", "image", "audio"):
        return (file,)
    if clip := text_of(row.fields, "youtube_id"):
        # AudioCaps has no official sounds: these are the names that the usual downloads give.
        start_s, caption = text_of(row.fields, "start_time"), text_of(row.fields, "audiocap_id")
        return (clip, f"Y{clip}", *([f"{clip}_{start_s}"] if start_s else []), *filter(None, [caption]))
    return (text_of(row.fields, "image_id"),)


def _of_images(path: Path, name: str) -> dict[str, str]:
    """What COCO's list of images tells about each: its file, and in NoCaps its domain: in, near or out of COCO's."""
    rows = (row for row in read_member(path, "images") if name in row.fields and "id" in row.fields)
    return {str(row.fields["id"]): str(row.fields[name]) for row in rows}


def _replies(path: Path, options: CaptionOptions) -> Iterator[Prediction]:
    yield from plain_replies(path, options, IDS, REPLIES)


def _summarise(items: list[GradedQuestion], options: CaptionOptions) -> Summary:
    scores = _scores(items, options)
    for item, cider in zip(items, scores.cider.tolist(), strict=True):
        item.grade.score = cider
    metrics, notes = dict(scores.corpus), list(scores.notes)
    for group in dict.fromkeys(group for item in items for group in item.question.groups):
        part = [item for item in items if group in item.question.groups]
        # Words weigh by how rare they are among the captions that are scored together, here those of the domain.
        metrics |= {f"{group[1]}/{name}": value for name, value in _scores(part, options).corpus.items()}
    if len(items) == 1:
        notes.append("CIDEr of a single item is 0: no word is rare among one")
    return Summary(metrics["CIDEr"], metrics, means(scores.cider), notes, items, len(items))


def _scores(items: list[GradedQuestion], options: CaptionOptions) -> CaptionScores:
    candidates, right = [item.grade.answer for item in items], [item.question.gold for item in items]
    return score(candidates, right, options.tokenizer, options.meteor, options.spice)


def captions(title: str, source: str, annotations: str, prompt: str, files: tuple[str, ...]) -> QuestionBenchmark:
    """A benchmark of captions of images."""
    return QuestionBenchmark(
        title=title,
        rule="CIDEr-D of PTB tokens, beside BLEU, ROUGE-L, METEOR and SPICE",
        source=f"{source}; tylin/coco-caption by pycocoevalcap",
        unit="fraction",
        annotations=annotations,
        predictions="[{image_id, caption}], {id: caption}, or rows {id, prediction}; without ids in the order of "
        "the annotations",
        options=ImageCaptionOptions,
        questions=questions,
        replies=_replies,
        grade=ungraded,
        summarise=_summarise,
        setup=Setup(files=files, wordless=True),
        prompt=lambda question: prompt,
        self_contained=True,
        keeps_text=True,
    )


def sound_captions(title: str, source: str, annotations: str, files: tuple[str, ...]) -> QuestionBenchmark:
    """A benchmark of captions of sounds."""
    return replace(
        captions(
            title,
            f"{source}; the DCASE scores are those of coco-caption, and SPIDEr = (CIDEr + SPICE) / 2",
            annotations,
            "Describe the sound in one sentence.",
            files,
        ),
        options=CaptionOptions,
        questions=sound_questions,
        setup=Setup(files=files, modality="audio", wordless=True),
    )


BENCHMARKS = {
    "coco_captions": captions(
        "COCO captions",
        "Chen et al. 2015; Karpathy's split; prompt of lmms-eval",
        "captions_val2014.json: {annotations: [{image_id, caption}]}, dataset_coco.json, or rows {id, references}",
        "Provide a one-sentence caption for the provided image.",
        ("dataset_coco.json", "captions_val2014.json", "captions_val2017.json"),
    ),
    "flickr30k": captions(
        "Flickr30k captions",
        "Young et al. 2014; Karpathy's split; prompt of lmms-eval",
        "dataset_flickr30k.json of Karpathy's split, or rows {id, references}",
        "Provide a one-sentence caption for the provided image.",
        ("dataset_flickr30k.json",),
    ),
    "nocaps": captions(
        "NoCaps",
        "Agrawal et al. 2019; prompt of lmms-eval",
        "nocaps_val_4500_captions.json: {images: [{id, domain}], annotations: [{image_id, caption}]}",
        "Provide a one-sentence caption for the provided image.",
        ("nocaps_val_4500_captions.json",),
    ),
    "audiocaps": sound_captions(
        "AudioCaps",
        "Kim et al. 2019",
        "test.csv: audiocap_id, youtube_id, start_time, caption, one row a caption; or rows {id, references}",
        ("test.csv",),
    ),
    "clotho": sound_captions(
        "Clotho",
        "Drossos et al. 2020",
        "clotho_captions_evaluation.csv: file_name, caption_1 to caption_5; or rows {id, references}",
        ("clotho_captions_evaluation.csv",),
    ),
}

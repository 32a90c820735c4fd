"""Referring expressions: the box of the thing that is meant."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from modalink.errors import DataError
from modalink.scoring.annotations import field_of, groups_of, text_of
from modalink.scoring.benchmark import (
    BenchmarkOptions,
    Grade,
    GradedQuestion,
    Question,
    QuestionBenchmark,
    Setup,
    Summary,
    mean_summary,
    plain_replies,
)
from modalink.scoring.metrics.boxes import Box, Coordinates, iou, parse, to_pixels
from modalink.scoring.predictions import Prediction, as_number, as_text, row_id
from modalink.scoring.rows import read_rows

IDS = ("sent_id", "question_id", "id", "index")
REPLIES = ("prediction", "pred", "text", "response", "output", "answer", "pred_bbox", "value")


class GroundingOptions(BenchmarkOptions):
    """Options of referring expressions."""

    coordinates: Coordinates = "unit"
    """What the numbers of a reply are: unit, square (LLaVA, Shikra), hundred (MiniGPT-v2), thousand (Qwen-VL), pixel.
    """
    boxes: Literal["xywh", "xyxy"] = "xywh"
    """What the numbers of an annotation are: left, top, width, height as in COCO, or two corners; in pixels."""
    threshold: float = Field(default=0.5, ge=0, le=1)
    """Overlap that a right box must exceed."""
    inclusive: bool = False
    """Whether it may equal the threshold too, as in lmms-eval and Qwen-VL."""


def _questions(path: Path, options: GroundingOptions) -> Iterator[Question]:
    for number, row in enumerate(read_rows(path)):
        fields = row.fields
        numbers = field_of(fields, ("bbox", "box"), row.where, "the right box")
        if not isinstance(numbers, list) or len(numbers) != 4:
            raise DataError(f"{row.where}: found box {numbers!r:.60}, needed four numbers")
        left, top, third, fourth = (as_number(n, row.where) for n in numbers)
        box = (left, top, left + third, top + fourth) if options.boxes == "xywh" else (left, top, third, fourth)
        width, height = _size(fields, row.where)
        if width and height and (box[2] > width + 2 or box[3] > height + 2 or box[2] < box[0]):
            other = "xyxy" if options.boxes == "xywh" else "xywh"
            raise DataError(
                f"{row.where}: box {numbers} read as {options.boxes} leaves the image; is it {other}? --option "
                f"boxes={other}"
            )
        text = text_of(fields, "expression", "sents", "text")
        image = text_of(fields, "img_path", "img_id", "image")
        keys = (f"{image}\n{text}",) if image and text else ()
        key = row_id(row, IDS)
        yield Question(
            key or str(number),
            (box, width, height),
            text,
            image,
            groups=groups_of(fields, "split"),
            keys=keys,
            numbered=not key,
        )


def _size(fields: Mapping[str, Any], where: str) -> tuple[float, float]:
    width, height = (as_number(fields[name], where) if name in fields else 0.0 for name in ("width", "height"))
    return width, height


def _replies(path: Path, options: GroundingOptions) -> Iterator[Prediction]:
    yield from plain_replies(path, options, IDS, REPLIES, ("img_id", "sents"))


def _grade(question: Question, reply: Any, where: str, options: GroundingOptions) -> Grade:
    right, width, height = question.gold
    box = _box_of(reply, where)
    if box is None:
        return Grade(0.0, as_text(reply, where), False, (0.0, None))
    if options.coordinates != "pixel" and not (width and height):
        raise DataError(
            f"question {question.id}: the annotation has no width and height, needed for "
            f"coordinates={options.coordinates}"
        )
    overlap = iou(to_pixels(box, width, height, options.coordinates), right)
    hit = overlap >= options.threshold if options.inclusive else overlap > options.threshold
    return Grade(float(hit), str(list(box)), True, (overlap, max(box)))


def _box_of(reply: Any, where: str) -> Box | None:
    if isinstance(reply, list):
        return parse(str([as_number(number, where) for number in reply]))
    return parse(as_text(reply, where))


def _summarise(items: list[GradedQuestion], options: GroundingOptions) -> Summary:
    largest = sorted(item.grade.detail[1] for item in items if item.grade.detail[1] is not None)
    limit = {"unit": 1, "square": 1, "hundred": 100, "thousand": 1000}.get(options.coordinates)
    if limit and largest and largest[len(largest) // 2] > 1.5 * limit:
        raise DataError(
            f"most replies hold numbers beyond {limit}, the largest of coordinates={options.coordinates}; they hold "
            f"{largest[len(largest) // 2]:g} and the like: choose --option coordinates=hundred, thousand or pixel"
        )
    summary = mean_summary(items)
    summary.metrics["mean_iou"] = sum(item.grade.detail[0] for item in items) / len(items)
    return summary


def _rule(options: GroundingOptions) -> str:
    return (
        f"accuracy at IoU {'>=' if options.inclusive else '>'} {options.threshold:g}, coordinates "
        f"{options.coordinates}, "
        "a reply without a box is wrong"
    )


def grounding(title: str, source: str, files: tuple[str, ...], aliases: tuple[str, ...] = ()) -> QuestionBenchmark:
    """A benchmark of referring expressions."""
    return QuestionBenchmark(
        title=title,
        rule=_rule,
        source=f"{source}; threshold of deepcs233/Visual-CoT, REC/calculation.py; prompt of LLaVA-1.5",
        unit="percent",
        annotations="rows {id or sent_id, img_id, expression or sents, bbox: pixels, width, height}",
        predictions="rows {id, text with a box such as [x1, y1, x2, y2]}; say what its numbers are by --option "
        "coordinates",
        aliases=aliases,
        options=GroundingOptions,
        questions=_questions,
        replies=_replies,
        grade=_grade,
        when_missing=lambda question, options: Grade(0.0, parsed=False, detail=(0.0, None)),
        summarise=_summarise,
        setup=Setup(files=files),
        prompt=lambda q: f"Please provide the bounding box coordinate of the region this sentence describes: {q.text}",
        self_contained=True,
    )


BENCHMARKS = {
    "refcoco": grounding("RefCOCO", "Yu et al. 2016", ("refcoco_[tv]*.json*",)),
    "refcoco_plus": grounding(
        "RefCOCO+", "Yu et al. 2016", ("refcoco+_*.json*", "refcoco_plus_*.json*"), ("refcoco+",)
    ),
    "refcocog": grounding("RefCOCOg", "Mao et al. 2016", ("refcocog_*.json*",)),
}

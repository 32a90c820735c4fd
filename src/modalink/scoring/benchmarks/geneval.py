"""GenEval: whether made pictures show the objects, counts, colours and places that their prompts name."""

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from pydantic import Field

from modalink import json_files
from modalink.errors import DataError, brief, shown
from modalink.scoring.annotations import field_of, list_of
from modalink.scoring.benchmark import (
    Grade,
    GradedQuestion,
    MadeOptions,
    MediaBenchmark,
    Question,
    Setup,
    Summary,
    group_means,
)
from modalink.scoring.bootstrap import Sums, means_by
from modalink.scoring.made_media import MadeMedium, read_made
from modalink.scoring.made_summary import WRONG, numbers
from modalink.scoring.metrics.objects import (
    COLOURS,
    POSITION_THRESHOLD,
    POSITIONS,
    Detected,
    Wanted,
    complaint,
    kept,
)
from modalink.scoring.predictions import as_text
from modalink.scoring.rows import Row, read_rows, shown_path

DETECTIONS = "detections"
"""Folder, below the results, of what a detector found in the pictures."""
COUNTING = "counting"
"""The task whose detections must be surer."""


class GenEvalOptions(MadeOptions):
    """Options of GenEval."""

    per_prompt: int = Field(default=4, ge=1, le=1000)
    """Pictures that are made of each prompt, each from a seed of its own."""
    detector: str = ""
    """Checkpoint that finds objects: of the classes that it knows, such as facebook/detr-resnet-50, or of any words,
    such as google/owlv2-base-patch16-ensemble. GenEval's own is Mask2Former with Swin-S, which finds outlines."""
    clip: str = ""
    """Checkpoint that tells colours; GenEval takes openai/clip-vit-large-patch14. Needed where prompts name colours."""
    threshold: float = Field(default=0.3, ge=0, lt=1)
    """How sure the detector must be of an object."""
    counting_threshold: float = Field(default=0.9, ge=0, lt=1)
    """The same where objects are counted."""
    most: int = Field(default=16, ge=1)
    """Most objects of a class that are looked at."""
    position_threshold: float = Field(default=POSITION_THRESHOLD, ge=0)
    """How far two objects may overlap and still be beside each other, as a share of their sizes together."""


def _questions(path: Path, options: GenEvalOptions) -> Iterator[Question]:
    """A question for each row, called by its number in five digits, as GenEval's folders are."""
    rows = list(read_rows(path))
    chosen = range(len(rows))
    if options.sample is not None and options.sample < len(rows):
        drawn = np.random.default_rng(options.seed).choice(len(rows), options.sample, replace=False)
        chosen = sorted(drawn.tolist())  # type: ignore[assignment]
    for number in chosen:
        row = rows[number]
        tag = str(field_of(row.fields, ("tag",), row.where, "the task"))
        include = list_of(row.fields, "include", row.where)
        wanted = [_wanted(entry, place, row) for place, entry in enumerate(include)]
        excluded = [_wanted(entry, 0, row) for entry in list_of(row.fields, "exclude", row.where)]
        if not wanted:
            raise DataError(f"{row.where}: found nothing under 'include', needed a class at least")
        text = as_text(field_of(row.fields, ("prompt",), row.where, "a prompt"), row.where)
        yield Question(f"{number:05d}", (wanted, excluded), text, groups=(("task", tag),))


def _wanted(entry: Any, place: int, row: Row) -> Wanted:
    """One entry: a class with a count, and perhaps a colour and a place beside an entry before it."""
    if not isinstance(entry, dict) or not isinstance(entry.get("class"), str) or not _is_count(entry.get("count", 1)):
        raise DataError(f"{row.where}: found {shown(entry)}, needed {{class, count}}")
    position, colour = entry.get("position"), entry.get("color", "")
    if position is not None:
        ok = isinstance(position, list) and len(position) == 2 and position[0] in POSITIONS
        if not ok or not isinstance(position[1], int) or not 0 <= position[1] < place:
            raise DataError(
                f"{row.where}: found the position {shown(position)}, needed one of {', '.join(POSITIONS)} and the "
                "place of an entry before it"
            )
    if colour and colour not in COLOURS:
        raise DataError(f"{row.where}: found the colour {shown(colour)}, needed one of {', '.join(COLOURS)}")
    place_of = None if position is None else (position[0], position[1])
    return Wanted(entry["class"], entry.get("count", 1), colour, place_of)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def read_detections(results: Path) -> dict[str, dict[str, list[Detected]]]:
    """What the detector found: id of a medium -> class -> objects.

    Raises:
        DataError: There are none, of several detectors, or a row is damaged.
    """
    paths = sorted(results.glob(f"{DETECTIONS}-*/predictions.jsonl"))
    if len(paths) != 1:
        raise DataError(
            f"{shown_path(results)}: found detections of {len(paths)} detectors, needed those of one; start the "
            "evaluation again with --option detector=CHECKPOINT, and delete the folders of others"
        )
    found: dict[str, dict[str, list[Detected]]] = {}
    for row in read_rows(paths[0]):
        say = partial(_damaged, row.where)
        rows = json_files.parse(str(row.fields.get("objects")), say, list[tuple[str, list[float], float, str]])
        objects: dict[str, list[Detected]] = {}
        for name, box, score, colour in rows:
            if len(box) != 4:
                raise say(f"a box of {len(box)} numbers")
            objects.setdefault(name, []).append(Detected((box[0], box[1], box[2], box[3]), score, colour))
        found[str(row.fields.get("question_id"))] = objects
    return found


def _damaged(where: str, detail: str) -> DataError:
    return DataError(f"{where}: found no detections ({detail}); delete the row to have its picture looked at again")


def _compare(results: Path, annotations: Path | None, options: GenEvalOptions, only: Collection[str] | None) -> Summary:
    if annotations is None:
        raise DataError("GenEval: needed --annotations: evaluation_metadata.jsonl")
    questions = {question.id: question for question in _questions(annotations, options)}
    made, detections = read_made(results, only), read_detections(results)
    items = [_graded(one, questions, detections, options, results) for one in made]
    scores = np.array([item.grade.score for item in items])
    tasks = list(dict.fromkeys(item.question.groups[0][1] for item in items))
    sample = _by_task(items, [one.prompt for one in made], tasks)
    by_prompt: dict[str, list[float]] = {}
    for one, score in zip(made, scores.tolist(), strict=True):
        by_prompt.setdefault(one.prompt, []).append(score)
    metrics = {"score": sample.value(), **group_means(items)}
    metrics["right_pictures"] = float(scores.mean())
    metrics["right_prompts"] = float(np.mean([any(own) for own in by_prompt.values()]))
    wrong = np.array([float(one.wrong) for one in made])
    metrics[WRONG] = float(wrong.mean())
    notes = [
        f"objects of {options.detector or 'the detector of these results'}, not of GenEval's Mask2Former: the numbers "
        "of different detectors do not compare",
        f"{int(sum(bool(one.missing) for one in made))} of {len(made)} replies hold no picture, and count as wrong",
    ]
    samples = {WRONG: means_by(wrong, [one.prompt for one in made])}
    if any(not one.missing for one in made):
        asked = numbers(results, "image", only=only)
        metrics |= {name: value for name, value in asked.metrics.items() if name == "p_yes"}
        samples |= {name: own for name, own in asked.samples.items() if name == "p_yes"}  # type: ignore[misc]
    return Summary(metrics["score"], metrics, sample, notes, items, len(made), samples, by_item="right picture")


def _graded(
    one: MadeMedium,
    questions: Mapping[str, Question],
    detections: Mapping[str, Mapping[str, list[Detected]]],
    options: GenEvalOptions,
    results: Path,
) -> GradedQuestion:
    question = questions.get(one.prompt)
    if question is None or question.text != one.caption:
        raise DataError(f"{results}: {brief(one.id)} was made of another prompt than the annotations hold")
    why = one.missing
    if not why:
        if one.id not in detections:
            raise DataError(f"{results}: nobody has looked at {brief(one.id)}; start the evaluation again")
        threshold = options.counting_threshold if question.groups[0][1] == COUNTING else options.threshold
        found = {name: kept(own, threshold, options.most) for name, own in detections[one.id].items()}
        wanted, excluded = question.gold
        why = complaint(found, wanted, excluded, options.position_threshold)
    medium = Question(one.id, text=one.caption, groups=question.groups)
    return GradedQuestion(medium, Grade(float(not why), why, parsed=not one.missing))


def _by_task(items: list[GradedQuestion], prompts: list[str], tasks: list[str]) -> Sums:
    """The mean of the tasks' shares of right pictures, drawn by prompt."""
    _, owner = np.unique(np.asarray(prompts), return_inverse=True)
    columns = np.zeros((owner.max() + 1, 2 * len(tasks)))
    for row, item in zip(owner, items, strict=True):
        task = tasks.index(item.question.groups[0][1])
        columns[row, task] += item.grade.score
        columns[row, len(tasks) + task] += 1

    def finish(sums: Float[np.ndarray, "b k"]) -> Float[np.ndarray, " b"]:
        shares: Float[np.ndarray, " b"] = (sums[:, : len(tasks)] / sums[:, len(tasks) :]).mean(1)
        return shares

    return Sums(columns, finish)


BENCHMARKS = {
    "geneval": MediaBenchmark(
        title="GenEval",
        rule="share of right pictures, averaged over tasks: as many objects of each class as named, in their colours "
        "and places, of the surest that a detector finds; a missing picture is wrong",
        source="Ghosh et al. 2023; djghosh13/geneval",
        unit="fraction",
        annotations="evaluation_metadata.jsonl: {tag, include: [{class, count, color, position}], exclude, prompt}",
        predictions="the folder in which `modalink evaluate` made them",
        options=GenEvalOptions,
        questions=_questions,
        setup=Setup(files=("evaluation_metadata.jsonl",), modality="image", mixed=True),
        needs={"detector": "objects; facebook/detr-resnet-50 knows COCO's classes"},
        compare=_compare,
    )
}

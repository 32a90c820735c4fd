"""Two systems' predictions beside each other: what both answered, and whether they differ in it."""

import math
from pathlib import Path

from modalink.errors import DataError
from modalink.scoring.benchmark import GradedQuestion, MediaBenchmark, ScoreOptions, Summary
from modalink.scoring.bootstrap import Comparison, compare
from modalink.scoring.rows import shown_path


def media_in_common(
    benchmark: MediaBenchmark,
    options: ScoreOptions,
    annotations: Path | None,
    predictions: Path,
    against: Path | None,
    summary: Summary,
) -> tuple[Summary, Summary] | None:
    """Both systems' summaries of the prompts that both made media of, with a note where that leaves some out."""
    if against is None:
        return None
    others = {item.question.id for item in benchmark.compare(against, annotations, options, None).items}
    ids = others & {item.question.id for item in summary.items}
    if not ids:
        raise DataError(f"{shown_path(against)}: found no media of the same prompts, so that nothing can be compared")
    if left_out := len(others) + len(summary.items) - 2 * len(ids):
        summary.notes.append(f"compared: {len(ids)} media that both systems made, {left_out} of one alone left out")
    left, right = (benchmark.compare(path, annotations, options, ids) for path in (predictions, against))
    return left, right


def questions_in_common(
    items: list[GradedQuestion], others: list[GradedQuestion], against: Path
) -> tuple[list[GradedQuestion], list[GradedQuestion], list[str]]:
    """The items of the questions that both files answer, and a note where that leaves some out."""
    ids = {item.question.id for item in items} & {item.question.id for item in others}
    if not ids:
        raise DataError(
            f"{shown_path(against)}: found no question that both files answer, so that there is nothing to compare"
        )
    common = [[item for item in those if item.question.id in ids] for those in (items, others)]
    left_out = len(items) + len(others) - 2 * len(ids)
    note = f"partial: {len(ids)} questions are answered in both files ({len(items)} and {len(others)}), and are scored"
    return common[0], common[1], [note] if left_out else []


def compared(left: Summary, right: Summary, against: Path) -> Comparison:
    """Whether two systems differ in the items that both answered.

    Raises:
        DataError: The score is no mean over items, or they are not the same items, or too few.
    """
    if left.sample is None or right.sample is None or not (left.items and right.items):
        raise DataError("this score is no mean over items, so that two files cannot be tested against each other")
    if [item.question.id for item in left.items] != [item.question.id for item in right.items]:
        raise DataError(
            f"{shown_path(against)}: found other questions answered; a paired test needed the same ones in both files; "
            "--partial compares those in common"
        )
    comparison = compare(left.sample, right.sample)
    if finite(comparison.interval) is None:
        raise DataError(f"{shown_path(against)}: found {len(left.items)} questions in common, too few to resample")
    return comparison


def compared_by_metric(left: Summary, right: Summary) -> dict[str, Comparison]:
    """Two models by the further metrics that both have."""
    shared = {name: compare(own, right.samples[name]) for name, own in left.samples.items() if name in right.samples}
    return {name: own for name, own in shared.items() if finite(own.interval)}


def finite(interval: tuple[float, float]) -> tuple[float, float] | None:
    """An interval; None where there were too few items for one."""
    return interval if all(map(math.isfinite, interval)) else None

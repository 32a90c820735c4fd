"""The result of a benchmark: its score, its error bar, and another system beside it."""

from dataclasses import dataclass, field
from typing import Any

from modalink.scoring.benchmark import GradedQuestion, Summary
from modalink.scoring.bootstrap import Comparison


@dataclass(frozen=True, slots=True)
class ScoreReport:
    """The result of a benchmark."""

    benchmark: str
    rule: str
    source: str
    unit: str
    score: float
    metrics: dict[str, float]
    count: int | None
    parse_failures: int
    interval: tuple[float, float] | None
    """95 % bootstrap interval of the score."""
    notes: list[str]
    summary: Summary = field(repr=False)
    options: dict[str, Any] = field(default_factory=dict)
    comparison: Comparison | None = None
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """95 % bootstrap intervals of further metrics, by name."""
    both: tuple[Summary, Summary] | None = field(default=None, repr=False)
    """The summaries of two models that are compared, of what both answered."""
    comparisons: dict[str, Comparison] = field(default_factory=dict)
    """The two models by further metrics, by name."""

    def as_dict(self, per_item: bool = False) -> dict[str, Any]:
        """The report as JSON data."""
        names = (
            "benchmark",
            "rule",
            "source",
            "unit",
            "score",
            "metrics",
            "count",
            "parse_failures",
            "interval",
            "notes",
            "options",
        )
        data = {name: getattr(self, name) for name in names}
        if self.intervals:
            data["intervals"] = self.intervals
        if self.comparison is not None:
            test = "paired: approximate randomisation for p, bootstrap for the 95 % interval"
            data["against"] = {**_compared(self.comparison), "test": test}
            if self.comparisons:
                data["against"]["metrics"] = {name: _compared(own) for name, own in self.comparisons.items()}
        if per_item:
            data["items"] = [_item(item) for item in self.summary.items]
        return data


def _compared(comparison: Comparison) -> dict[str, Any]:
    return {
        "difference": comparison.difference,
        "interval": comparison.interval,
        "p_value": comparison.p_value,
    }


def _item(item: GradedQuestion) -> dict[str, Any]:
    grade = item.grade
    return {"id": item.question.id, "score": grade.score, "answer": grade.answer, "parsed": grade.parsed}

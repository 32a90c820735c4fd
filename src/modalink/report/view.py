"""From a run's facts to what the page shows: words, percentages, rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from modalink.report.charts import Series, line_chart, loss_chart, smoothed
from modalink.roles import Preview
from modalink.runs.facts import RunFacts, StageFacts

_SHOWN_STEPS = 8
"""Steps whose replies are shown."""


@dataclass(frozen=True)
class Panel:
    """One chart with its caption."""

    title: str
    chart: Markup
    legend: Sequence[str] = ()


@dataclass(frozen=True)
class EvaluationRow:
    """One evaluation inside a stage, as a row of a table."""

    step: int
    values: list[str]
    best: bool


@dataclass(frozen=True)
class RepliesRow:
    """A prompt of one step with the best and the worst of some replies to it, each with its reward in words."""

    step: int
    question: str
    replies: list[tuple[str, str]]


@dataclass(frozen=True)
class StageView:
    """A stage's curves and what it did, in words."""

    name: str
    what: str
    panels: list[Panel] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    """Headings of its evaluations."""
    evaluations: list[EvaluationRow] = field(default_factory=list)
    replies: list[RepliesRow] = field(default_factory=list)


def stage_view(stage: StageFacts) -> StageView:
    """A stage's losses, learning rates and evaluations over its steps."""
    panels = [Panel(f"{name} loss", loss_chart(name, points)) for name, points in stage.losses.items()]
    if rates := stage.rates:
        lines = [Series(group, points) for group, points in rates.items()]
        panels.append(Panel("learning rate", line_chart("learning rate", lines), list(rates)))
    evaluated = stage.evaluations
    for name, points in evaluated.items():
        if len(points) > 1:
            panels.append(Panel(f"{name}, evaluated", line_chart(name, [Series(name, points)])))
    if rewards := stage.rewards:
        panels.insert(0, Panel("reward", line_chart("reward", [Series("reward", rewards)])))
    rows = [_replies_row(line) for line in _spread(stage.replies)]
    return StageView(stage.name, _summary(stage), panels, list(evaluated), _evaluation_rows(stage), rows)


def _spread(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first line of some steps, from the first to the last, as far apart as they come."""
    first = {line["step"]: line for line in reversed(lines)}
    steps = sorted(first)
    count = min(_SHOWN_STEPS, len(steps))
    places = [round(i * (len(steps) - 1) / max(1, count - 1)) for i in range(count)]
    return [first[steps[place]] for place in places]


def _replies_row(line: Mapping[str, Any]) -> RepliesRow:
    by_worth = sorted(line["replies"], key=lambda reply: -(reply["reward"] if reply["reward"] is not None else -1e300))
    shown = by_worth[:1] + (by_worth[-1:] if len(by_worth) > 1 else [])
    told = [(reply["text"], "not judged" if reply["reward"] is None else f"{reply['reward']:.3g}") for reply in shown]
    return RepliesRow(line["step"], line["question"], told)


def _evaluation_rows(stage: StageFacts) -> list[EvaluationRow]:
    values = {name: dict(points) for name, points in stage.evaluations.items()}
    steps = sorted({step for points in values.values() for step in points})
    best = stage.best
    return [
        EvaluationRow(
            int(step),
            [f"{points[step]:.4g}" if step in points else "" for points in values.values()],
            best is not None and best.step == step,
        )
        for step in steps
    ]


def parts(facts: RunFacts) -> list[dict[str, Any]]:
    """Rows of the parts table: what each part is, how large, and where it learns."""
    about = {part["part"]: part for part in facts.manifest.get("parts", [])}
    total = max(1, facts.parameters)
    return [
        {
            "name": group.name,
            "what": about.get(group.name, {}).get("id") or about.get(group.name, {}).get("kind") or "",
            "sha256": (about.get(group.name, {}).get("sha256") or "")[:10],
            "licence": about.get(group.name, {}).get("licence") or "",
            "parameters": group.parameters,
            "share": group.parameters / total,
            "stages": group.stages,
        }
        for group in facts.groups
    ]


def replied(pieces: Sequence[Mapping[str, str]]) -> list[Markup]:
    """Words and media of an example in their order, as elements of a page."""
    return [_piece(piece) for piece in pieces]


def media(pieces: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """The media of an example as facts: their modality, type and bytes, and what is noted of them."""
    return [
        {
            "modality": piece["modality"],
            "type": piece.get("url", "").partition(":")[2].partition(";")[0] or None,
            "bytes": len(piece.get("url", "").partition(",")[2]) * 3 // 4,
            "note": piece.get("note", ""),
        }
        for piece in pieces
        if "modality" in piece
    ]


def _piece(piece: Mapping[str, str]) -> Markup:
    if "modality" not in piece:
        return Markup('<span class="reply">{}</span>').format(piece.get("text", ""))
    shown = {name: piece.get(name, "") for name in ("url", "words", "note")}
    return Markup(Preview(**shown).html(piece["modality"]))


def duration(seconds: float) -> str:
    """A time in words, for example `4 min 5 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def percent(share: float) -> str:
    """A share in percent, for example `93.4 %`."""
    return f"{share:.1%}".replace("%", " %").replace("100.0", "100")


def final(points: Sequence[tuple[float, float]]) -> float:
    """A loss at the end: the smoothed one, because single steps are noisy."""
    return round(smoothed(points)[-1][1], 5)


def _summary(stage: StageFacts) -> str:
    if not stage.records:
        return "not begun"
    objectives = ", ".join(objective["kind"] for objective in stage.recipe.get("objectives", []))
    trained = ", ".join(stage.recipe.get("train", {}))
    return (
        f"{stage.records[-1]['step']:,} steps of {stage.recipe.get('batch', '?')} conversations "
        f"in {duration(stage.seconds)}; "
        f"minimises {objectives}; trains {trained}"
    )

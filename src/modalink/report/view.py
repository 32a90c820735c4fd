"""From a run's facts to what the page shows: words, percentages, rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from modalink.report.charts import Series, line_chart, loss_chart, smoothed
from modalink.report.facts import RunFacts, StageFacts

BASELINES = {
    "majority": "most frequent answer",
    "no_image": "same model, no picture",
    "empty_image": "same model, empty picture",
    "caption_no_image": "same model, no picture",
    "caption_handover": "own text encoder, replied words",
    "text_encoder": "own text encoder, true caption",
    "clean": "the world's own pictures",
}
"""Name of a baseline -> what the page calls it."""
_OF_ANSWERS, _OF_DRAWINGS = ("majority", "no_image", "empty_image"), ("caption_handover", "text_encoder")


@dataclass(frozen=True)
class Mark:
    """A value to compare with."""

    name: str
    value: float


@dataclass(frozen=True)
class Meter:
    """One number with its error bar, and what to compare it with."""

    name: str
    value: float
    low: float
    high: float
    count: int
    what: str = ""
    marks: Sequence[Mark] = ()


@dataclass(frozen=True)
class Panel:
    """One chart with its caption."""

    title: str
    chart: Markup
    legend: Sequence[str] = ()


@dataclass(frozen=True)
class StageView:
    """A stage's curves and what it did, in words."""

    name: str
    what: str
    panels: list[Panel] = field(default_factory=list)


def meters(heldout: Mapping[str, Any], wanted: Mapping[str, tuple[str, str, Sequence[str]]]) -> list[Meter]:
    """Meters for those of the wanted numbers that there are: path -> (name, explanation, paths to compare with)."""
    found = []
    for path, (name, what, beside) in wanted.items():
        value = look_up(heldout, path)
        if value is not None:
            low, high = look_up(heldout, f"intervals.{path}") or (value, value)
            marks = [Mark(_baseline(p), v) for p in beside if (v := look_up(heldout, p)) is not None]
            found.append(Meter(name, value, low, high, look_up(heldout, f"counts.{path}") or 0, what, marks))
    return found


def headline(heldout: Mapping[str, Any]) -> list[Meter]:
    """The numbers that say it all."""
    return meters(
        heldout,
        {
            "vqa": ("Questions", "right answers to questions about pictures", [f"baselines.{b}" for b in _OF_ANSWERS]),
            "caption_attributes": (
                "Captions",
                "attributes of objects described rightly",
                ["baselines.caption_no_image"],
            ),
            "drawn_objects": (
                "Drawings",
                "requested objects drawn in the right place, colour and shape",
                [f"baselines.{b}" for b in _OF_DRAWINGS],
            ),
        },
    )


def kinds(heldout: Mapping[str, Any]) -> list[Meter]:
    """Questions by kind, each beside its baselines."""
    wanted = {
        f"vqa_by_kind.{kind}": (kind, "", [f"baselines.{b}_by_kind.{kind}" for b in _OF_ANSWERS])
        for kind in heldout.get("vqa_by_kind", {})
    }
    return meters(heldout, wanted)


def details(heldout: Mapping[str, Any]) -> dict[str, list[Meter]]:
    """What captions and drawings get right, part by part."""
    caption: dict[str, Any] = {
        **{f"caption_by_attribute.{name}": (name, "", []) for name in heldout.get("caption_by_attribute", {})},
        "caption_objects": ("whole object", "", []),
        "caption_counts": ("number of objects", "", []),
        "unseen.caption_attributes": ("attributes of compositions never seen", "", []),
    }
    drawing = {
        **{
            f"drawn_by_attribute.{name}": (name, "", [f"baselines.{b}_by_attribute.{name}" for b in _OF_DRAWINGS])
            for name in heldout.get("drawn_by_attribute", {})
        },
        "drawn_pictures": ("whole picture", "", [f"baselines.{b}_pictures" for b in _OF_DRAWINGS]),
        "unseen.drawn_objects": ("compositions never seen", "", []),
        "drawn_replies": ("replies that ask for a picture", "", []),
    }
    return {"captions": meters(heldout, caption), "drawings": meters(heldout, drawing)}


def stage_view(stage: StageFacts) -> StageView:
    """A stage's losses and learning rates over its steps."""
    panels = [Panel(f"{name} loss", loss_chart(name, points)) for name, points in stage.losses.items()]
    if rates := stage.rates:
        lines = [Series(group, points) for group, points in rates.items()]
        panels.append(Panel("learning rate", line_chart("learning rate", lines), list(rates)))
    return StageView(stage.name, _told(stage), panels)


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


def look_up(tree: Any, path: str) -> Any:
    """A value by dotted path, None where there is none."""
    for key in path.split("."):
        if not isinstance(tree, Mapping) or key not in tree:
            return None
        tree = tree[key]
    return tree


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


def _told(stage: StageFacts) -> str:
    if not stage.records:
        return "not begun"
    objectives = ", ".join(objective["kind"] for objective in stage.recipe.get("objectives", []))
    trained = ", ".join(stage.recipe.get("train", {}))
    return (
        f"{stage.records[-1]['step']:,} steps of {stage.recipe.get('batch', '?')} conversations "
        f"in {duration(stage.seconds)}; "
        f"minimises {objectives}; trains {trained}"
    )


def _baseline(path: str) -> str:
    name = path.split(".")[1]
    return next(text for key, text in BASELINES.items() if name.startswith(key))

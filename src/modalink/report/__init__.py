"""The report of a run: `report.json` for programs, `report.html` (one file, no network) for people."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from modalink import files
from modalink.report import view
from modalink.runs.facts import RunFacts, StageFacts, read_run
from modalink.scoring import held_out

__all__ = ["ReportFiles", "write_report"]

_TASKS = ("question", "caption", "drawing", "made", "other", "renderer", "lost", "picture", "message", "ood_question")


class ReportFiles(NamedTuple):
    """Where a run's reports are."""

    html: Path
    json: Path


def write_report(run: Path) -> ReportFiles:
    """Write the reports of a run from what its folder holds; sections without data say so.

    Args:
        run: A folder that training made, finished or not.

    Raises:
        CheckpointError: The folder holds no run.
    """
    facts = read_run(run)
    report = ReportFiles(run / "report.html", run / "report.json")
    files.write_json(report.json, numbers(facts))
    files.write(report.html, page(facts))
    return report


def numbers(facts: RunFacts) -> dict[str, Any]:
    """The content of `report.json`; all shares are fractions from 0 to 1."""
    content: dict[str, Any] = {"name": facts.name}
    if facts.heldout is not None:
        content["heldout"] = _without_examples(facts.heldout)
    if facts.scores:
        content["benchmarks"] = {name: _without_examples(scored) for name, scored in facts.scores.items()}
    if examples := {name: _example_numbers(results) for name, results in facts.results.items()}:
        content["examples"] = {name: rows for name, rows in examples.items() if rows}
    content |= {
        "training_seconds": round(facts.training_seconds, 1),
        "trainable_share": facts.trainable_parameters / max(1, facts.parameters),
        "trainable_parameters": facts.trainable_parameters,
        "parameters": facts.parameters,
        "stages": [_stage_numbers(stage) for stage in facts.stages],
        "licence": facts.manifest.get("licence"),
        "environment": facts.manifest.get("environment"),
    }
    return content


def _without_examples(results: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in results.items() if key != "examples"}


def _example_numbers(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The words of examples, and what is known of their media, which stand in the page alone."""
    return [
        {"asked": _words(e["asked"]), "reply": _words(e["reply"]), "media": view.media(e["reply"])}
        if "asked" in e
        else {"asked": e["prompt"], "reply": e["reply"], "media": view.media(e["made"])}
        for e in results.get("examples", [])
        if "asked" in e or e.get("made")
    ]


def _words(pieces: Sequence[Mapping[str, str]]) -> str:
    return " ".join(piece["text"] for piece in pieces if "text" in piece)


def _stage_numbers(stage: StageFacts) -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": stage.name,
        "steps": stage.records[-1]["step"] if stage.records else 0,
        "seconds": round(stage.seconds, 1),
        "samples": stage.samples,
        "final_losses": {name: view.final(points) for name, points in stage.losses.items()},
        "ledger": stage.ledger,
    }
    if stage.rewards:
        content["rewards"] = stage.rewards
    if stage.evaluations:
        content["evaluations"] = stage.evaluations
        content["best"] = None if stage.best is None else stage.best._asdict()
    return content


def page(facts: RunFacts) -> str:
    """The content of `report.html`."""
    pages = Environment(
        loader=PackageLoader("modalink.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    pages.filters |= {
        "duration": view.duration,
        "percent": view.percent,
        "in_words": held_out.in_words,
        "replied": view.replied,
    }
    heldout = facts.heldout or {}
    examples: list[dict[str, Any]] = heldout.get("examples", [])
    return pages.get_template("page.html.jinja").render(
        facts=facts,
        heldout=heldout,
        environment=facts.manifest.get("environment"),
        licence=facts.manifest.get("licence"),
        style=Markup(Path(__file__).with_name("page.css").read_text(encoding="utf-8")),
        headline=held_out.headline(heldout),
        kinds=held_out.by_kind(heldout),
        other_kinds=held_out.others_by_kind(heldout),
        caption_details=held_out.caption_details(heldout),
        drawing_details=held_out.drawing_details(heldout),
        made_details=held_out.made_details(heldout),
        examples={task: [e for e in examples if e["task"] == task] for task in _TASKS},
        renderers=held_out.by_renderer(heldout),
        outside=held_out.out_of_distribution(heldout),
        stages=[view.stage_view(stage) for stage in facts.stages],
        parts=view.parts(facts),
    )

"""`modalink score`: predictions by the rule of a benchmark."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from modalink.errors import OptionError
from modalink.scoring.features import FeatureEncoder
from modalink.scoring.registry import catalogue
from modalink.scoring.score import ScoreReport
from modalink.scoring.score import score as score_files

Choices = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="A choice of the benchmark; may be repeated."),
]


def score(
    benchmark: Annotated[str, typer.Argument(help="A benchmark's name, or `list` for all of them.")],
    predictions: Annotated[Path | None, typer.Option("--predictions", help="What the model answered.")] = None,
    annotations: Annotated[
        Path | None, typer.Option("--annotations", help="The official annotations, a file or folder.")
    ] = None,
    option: Choices = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="Another model's predictions, for a paired test.")
    ] = None,
    *,
    partial: Annotated[bool, typer.Option("--partial", help="Score what is there, and say what is not.")] = False,
    per_item: Annotated[
        bool, typer.Option("--per-item", help="Every item's score; with --json a list, else JSON lines.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Score predictions by the official rule of a benchmark, with an error bar.

    \b
    modalink score list
    modalink score vqav2 --predictions answers.json --annotations v2_mscoco_val2014_annotations.json
    modalink score mmbench --predictions upload.xlsx --option protocol=first --json
    modalink score pope --predictions mine.jsonl --annotations coco/ --against theirs.jsonl
    """
    if benchmark == "list":
        _show_list(as_json)
        return
    if predictions is None:
        raise OptionError(
            "found no predictions, needed --predictions FILE; `modalink score list` tells every benchmark's formats"
        )
    options = pairs(option)
    if partial:
        options["missing"] = "skip"
    report = score_files(benchmark, predictions, annotations, options, against, _load_encoder)
    if as_json:
        print(json.dumps(report.as_dict(per_item), allow_nan=False))
        return
    show(report)
    if per_item:
        for item in report.as_dict(per_item=True)["items"]:
            print(json.dumps(item, allow_nan=False))


def _load_encoder(checkpoint: str) -> FeatureEncoder:
    # torch takes seconds to load, and most benchmarks do without it.
    from modalink.evaluation.media_features import media_encoder

    return media_encoder(checkpoint)


def pairs(texts: Sequence[str] | None) -> dict[str, Any]:
    """What `--option KEY=VALUE` gave, by key."""
    choices = {}
    for text in texts or ():
        key, sign, value = text.partition("=")
        if not sign:
            raise OptionError(f"option {text!r}: needed KEY=VALUE")
        choices[key] = value
    return choices


def show(report: ScoreReport) -> None:
    """Print a report for people."""
    console = Console(highlight=False, soft_wrap=True)
    low_high = f"   95 % interval {report.interval[0]:.4g} to {report.interval[1]:.4g}" if report.interval else ""
    console.print(f"{report.benchmark}: {report.score:.6g} {report.unit}{low_high}", markup=False)
    if report.count is not None:
        console.print(f"{report.count} scored, {report.parse_failures} parse failures", markup=False)
    console.print(f"rule: {report.rule}\nsource: {report.source}", markup=False)
    for note in report.notes:
        console.print(f"note: {note}", markup=False)
    if report.comparison:
        comparison = report.comparison
        low, high = comparison.interval
        console.print(
            f"against: {comparison.difference:+.4g}, 95 % interval {low:+.4g} to {high:+.4g}, "
            f"p = {comparison.p_value:.4g}",
            markup=False,
        )
    console.print(_metrics(report))


def _metrics(report: ScoreReport) -> Table:
    """The metrics, with their intervals and the differences to another model where there are any."""
    table = Table("metric", "value")
    if report.intervals:
        table.add_column("95 % interval")
    if report.comparisons:
        table.add_column("against")
    for name, value in report.metrics.items():
        between, comparison = report.intervals.get(name), report.comparisons.get(name)
        cells = [f"{between[0]:.4g} to {between[1]:.4g}" if between else ""] * bool(report.intervals)
        cells += [f"{comparison.difference:+.4g}, p = {comparison.p_value:.2g}" if comparison else ""] * bool(
            report.comparisons
        )
        table.add_row(name, f"{value:.6g}", *cells)
    return table


def _show_list(as_json: bool) -> None:
    rows = catalogue()
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(f"{row.pop('name')}: {row.pop('title')} ({row.pop('unit')})")
        for key, text in row.items():
            print(f"    {key}: {text}")

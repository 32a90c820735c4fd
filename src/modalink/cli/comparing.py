"""What commands share that train several designs and tell them apart: their options, and what is shown of them."""

import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from modalink import yaml_files
from modalink.cli import options
from modalink.cli.option_groups import group, option
from modalink.cli.score import Choices, pairs
from modalink.comparison import Comparison, OnRun, Rates, Results, compare, write_pages
from modalink.comparison.measuring import Measured
from modalink.comparison.page import LEVEL, ranked
from modalink.errors import OptionError
from modalink.recipe import checked
from modalink.settings import run_settings
from modalink.training.events import Event, StepDone, Warned
from modalink.yaml_files import Document

_TINY_WORLD = "tiny_world"
_PICTURES = {"source": _TINY_WORLD, "count": 20_000, "tasks": {"caption": 1, "vqa": 3}}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600}
_MOST_PAIRS = 20

takes_comparison = group(
    "compared",
    option(
        "benchmark",
        str,
        typer.Option("--benchmark", help="What all are asked; with tiny-world data its own questions by default."),
        "",
    ),
    option(
        "benchmark_data",
        Path | None,
        typer.Option("--benchmark-data", help="Folder with the benchmark's official files and media."),
    ),
    option("option", Choices, None),
    option("limit", int | None, typer.Option("--limit", min=1, help="Ask the first questions only.")),
    option(
        "budget",
        str | None,
        typer.Option("--budget", help="Time to train each design, for example 90s, 5m or 2h."),
    ),
    option(
        "steps", int | None, typer.Option("--steps", min=1, help="Steps to train each design, instead of --budget.")
    ),
    option(
        "seeds",
        str | None,
        typer.Option("--seeds", help="Seeds, with commas; each design is trained with each; by default 0."),
    ),
    option("batch", int | None, typer.Option("--batch", min=1, help="Conversations a step; by default 16.")),
    option(
        "lr",
        str | None,
        typer.Option(
            "--lr",
            help="Learning rates of all: `LINKS,PARTS`, or `own`; by default 0.003,0.001 with --tiny, else own.",
        ),
    ),
    option("tiny", bool, typer.Option("--tiny", help="The same systems with every part at tiny size."), False),
    option(
        "out",
        Path,
        typer.Option("--out", help="Folder of the runs and the result; one that is there resumes."),
        inspect.Parameter.empty,
    ),
    option("device", options.Device, None),
    option("threads", options.Threads, None),
    option("workers", options.Workers, None),
    option("as_json", bool, typer.Option("--json", help="The result as a JSON object."), False),
)
"""What all designs are asked, how long they are trained, where and with what: as they were given."""
OF_DESIGNS = ("benchmark", "benchmark_data", "option", "limit", "lr", "tiny")
"""Those of them that say what is compared, and not how long, where and with what."""


def finished(comparison: Comparison, compared: Mapping[str, Any]) -> Results:
    """Train and ask all designs, and show what came of it: tables and where the page is, or JSON."""
    out, as_json = compared["out"], compared["as_json"]
    settings = run_settings(**{name: compared[name] for name in ("device", "threads", "workers")})
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    with showing(console, comparison) as on_run:
        results = compare(comparison, out, settings=settings, on_run=on_run)
    page = write_pages(results, out)
    if as_json:
        print(json.dumps(results.to_dict(), allow_nan=False))
    else:
        console.print(*tables(results))
        console.print(f"result {page}\nnumbers {out / 'comparison.json'}", markup=False)
    return results


def length(compared: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a comparison that say how long designs are trained, and how often; those that were given."""
    budget, seeds = compared["budget"], compared["seeds"]
    told = {
        "seconds": None if budget is None else duration(budget),
        "steps": compared["steps"],
        "seeds": None if seeds is None else numbers(seeds),
        "batch": compared["batch"],
    }
    return {name: value for name, value in told.items() if value is not None}


def described(
    designs: Sequence[dict[str, Any]], sources: Sequence[dict[str, Any]], compared: Mapping[str, Any], **more: Any
) -> Comparison:
    """The comparison of some designs that the options describe.

    Args:
        designs: They, as fields of `Design`.
        sources: What all learn from.
        compared: The options.
        more: Further fields of it.
    """
    name, folder, choices, limit = (compared[key] for key in ("benchmark", "benchmark_data", "option", "limit"))
    asked = questions(name, folder, choices, limit, sources)
    own = {"benchmarks": asked, "tiny": compared["tiny"], "rates": rates(compared["lr"], compared["tiny"])}
    fields = {"designs": [*designs], "data": [*sources], **own, **length(compared), **more}
    return checked(Comparison, Document(fields, {(): more.get("name", "comparison")}))


def source(text: str) -> dict[str, Any]:
    """A data source as an option of the command line names it."""
    if text.replace("-", "_") == _TINY_WORLD:
        return dict(_PICTURES)
    found = yaml_files.parse(text, "--data", OptionError).data
    if not isinstance(found, dict):
        raise OptionError(
            f"--data: found {text!r:.80}, needed tiny_world, or a source as recipes have it, for example "
            "'{source: llava_json, path: mix.json}'"
        )
    return found


def questions(
    name: str, data: Path | None, option: list[str] | None, limit: int | None, sources: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """What all designs are asked, and what it is called."""
    if not name:
        if not sources or any(source.get("source") != _TINY_WORLD for source in sources):
            found = "no --data" if not sources else "data that bring no questions of their own"
            needed = "--data tiny_world, for example" if not sources else "--benchmark NAME, see `modalink score list`"
            raise OptionError(f"found {found}, needed {needed}")
        name = _TINY_WORLD
    choice = {"name": name, "limit": limit, "options": pairs(option)}
    return {"accuracy": choice | ({} if data is None else {"data": str(data)})}


def rates(text: str | None, tiny: bool) -> Rates | None:
    """The learning rates of all designs; None leaves each its own."""
    if text is None:
        return Rates() if tiny else None
    if text == "own":
        return None
    links, _, parts = text.partition(",")
    try:
        return Rates.model_validate({"links": links, "parts": parts or links})
    except ValidationError:
        raise OptionError(f"--lr: found {text!r}, needed one or two numbers above 0, for example 0.003,0.001") from None


def numbers(text: str) -> list[int]:
    """Numbers with commas between them."""
    if not re.fullmatch(r"\d{1,18}(,\d{1,18})*", text.replace(" ", "")):
        raise OptionError(f"--seeds: found {text!r}, needed numbers with commas, for example 0,1,2")
    return [int(number) for number in text.split(",")]


def duration(text: str) -> float:
    """A time in seconds."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or not float(found[1]):
        raise OptionError(f"--budget: found {text!r}, needed a time, for example 90s, 5m or 2h")
    return float(found[1]) * _SECONDS[found[2] or "s"]


@contextmanager
def showing(console: Console, comparison: Comparison) -> Iterator[OnRun]:
    """Show where a comparison stands: a line for each run that is done, and on a terminal what goes on."""
    count, number = len(comparison.designs) * len(comparison.seeds), 0
    first = next(iter(comparison.benchmarks))

    def event(design: str, seed: int | None, event: Event) -> None:
        if isinstance(event, StepDone):
            what = "is timed" if seed is None else f"seed {seed}"
            status.update(f"{design}, {what}: {event.stage}, step {event.step} of {event.steps}")
        elif isinstance(event, Warned):
            note(f"{design}: {event.text}")

    def done(design: str, seed: int, measured: Measured) -> None:
        nonlocal number
        number += 1
        right = 100 * measured.score(first).mean()
        text = f"{number} of {count}: {design}, seed {seed}: {first} {right:.1f} %, {measured.training_seconds:.0f} s"
        console.print(text, markup=False)

    def note(text: str) -> None:
        console.print(f"note: {text}", markup=False)

    with console.status("comparing") as status:
        yield OnRun(event, done, note)


def tables(results: Results) -> Iterator[Table]:
    """The designs and the pairs, for a terminal."""
    headings = list(results.comparison.benchmarks)
    table = Table(title="designs")
    table.add_column("design", overflow="fold")
    for heading in (*headings, "tokens", "trained", "steps", "training", "memory"):
        table.add_column(heading, justify="right")
    for row in ranked(results):
        reached = [row.reached[heading] for heading in headings]
        shares = [f"{100 * r.value:.1f} %\n{100 * r.interval[0]:.1f} to {100 * r.interval[1]:.1f}" for r in reached]
        memory = "unknown" if row.memory_bytes is None else f"{row.memory_bytes / 2**20:.0f} MiB"
        steps = "+".join(map(str, row.steps))
        cells = [
            f"{row.tokens_per_item:g}",
            f"{row.trainable_share:.2%}",
            steps,
            f"{row.training_seconds:.0f} s",
            memory,
        ]
        table.add_row(row.name, *shares, *cells)
    yield table
    table = Table(title="pairs that differ the most")
    for heading in ("questions", "designs", "difference", "95 % interval", "p, corrected", ""):
        table.add_column(heading)
    for pair in sorted(results.pairs, key=lambda pair: (pair.corrected_p, -abs(pair.difference.value)))[:_MOST_PAIRS]:
        low, high = (f"{100 * end:+.1f}" for end in pair.difference.interval)
        verdict = "differ" if pair.corrected_p < LEVEL else "not told apart"
        names = f"{pair.left} − {pair.right}"
        value = f"{100 * pair.difference.value:+.1f}"
        table.add_row(pair.benchmark, names, value, f"{low} to {high}", f"{pair.corrected_p:.3g}", verdict)
    yield table

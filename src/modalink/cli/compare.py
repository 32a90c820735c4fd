"""`modalink compare`: several designs on the same data and budget."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from modalink import yaml_files
from modalink.cli.options import Device, Threads, Workers
from modalink.cli.score import Choices, pairs
from modalink.comparison import Comparison, OnRun, Rates, Results, write_pages
from modalink.comparison import compare as compare_designs
from modalink.comparison.design import load_study
from modalink.comparison.measuring import Measured
from modalink.comparison.page import LEVEL, ranked
from modalink.errors import OptionError, RecipeError
from modalink.recipe import checked
from modalink.settings import run_settings
from modalink.training.events import Event, StepDone, Warned
from modalink.yaml_files import Document

_TINY_WORLD = "tiny_world"
_PICTURES = {"source": _TINY_WORLD, "count": 20_000, "tasks": {"caption": 1, "vqa": 3}}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600}
_MOST_PAIRS = 20


_Study = Annotated[
    str | None, typer.Option("--study", help="A comparison that ships, or its file, instead of recipes and data.")
]
_Data = Annotated[
    list[str] | None,
    typer.Option("--data", help="What all learn from: `tiny_world`, or `{source: llava_json, path: FILE}`."),
]
_Benchmark = Annotated[
    str, typer.Option("--benchmark", help="What all are asked; with tiny-world data its own questions by default.")
]
_BenchmarkData = Annotated[
    Path | None, typer.Option("--benchmark-data", help="Folder with the benchmark's official files and media.")
]
_Budget = Annotated[str | None, typer.Option("--budget", help="Time to train each design, for example 90s, 5m or 2h.")]
_Rate = Annotated[
    str | None,
    typer.Option(
        "--lr", help="Learning rates of all: `LINKS,PARTS`, or `own`; by default 0.003,0.001 with --tiny, else own."
    ),
]


def compare(
    recipes: Annotated[
        list[str] | None, typer.Argument(metavar="RECIPE...", help="Recipe files, or names of those that ship.")
    ] = None,
    *,
    study: _Study = None,
    data: _Data = None,
    benchmark: _Benchmark = "",
    benchmark_data: _BenchmarkData = None,
    option: Choices = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask the first questions only.")] = None,
    budget: _Budget = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps to train each design, instead of --budget.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds, with commas; each design is trained with each.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Conversations a step.")] = None,
    lr: _Rate = None,
    tiny: Annotated[bool, typer.Option("--tiny", help="The same systems with every part at tiny size.")] = False,
    out: Annotated[Path, typer.Option("--out", help="Folder of the runs and the result; one that is there resumes.")],
    device: Device = None,
    threads: Threads = None,
    workers: Workers = None,
    as_json: Annotated[bool, typer.Option("--json", help="The result as a JSON object.")] = False,
) -> None:
    """Train several designs on the same data and budget, ask them the same questions, and tell them apart.

    One after the other, each in its own run folder under --out. Started again, it resumes; recipes can be added to it.
    Data, their order, seeds, batch and LLM are the same for all. A --budget is time of training alone: how many steps
    that is depends on the design, and is measured first; --steps gives all the same.

    \b
    modalink compare llava-1.5 next-gpt-image --tiny --data tiny_world --steps 200 --seeds 0,1,2 --out runs/compare
    modalink compare a.yaml b.yaml --data "{source: llava_json, path: mix.json}" --benchmark gqa \\
        --benchmark-data gqa --budget 2h --out runs/ab
    modalink compare --study resolution --out runs/resolution
    """
    length = {"seconds": None if budget is None else _duration(budget), "steps": steps}
    chosen = {**length, "seeds": None if seeds is None else _numbers(seeds), "batch": batch}
    if study is None:
        comparison = _composed(recipes or [], data or [], benchmark, benchmark_data, option, limit, lr, tiny, chosen)
    elif recipes or data or benchmark or tiny or lr:
        raise OptionError("--study brings its designs, data, questions and rates; leave out the others")
    else:
        comparison = _varied(load_study(study), chosen)
    settings = run_settings(device=device, threads=threads, workers=workers)
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    with _showing(console, comparison) as on_run:
        results = compare_designs(comparison, out, settings=settings, on_run=on_run)
    page = write_pages(results, out)
    if as_json:
        print(json.dumps(results.to_dict(), allow_nan=False))
    else:
        console.print(*_tables(results))
        console.print(f"result {page}\nnumbers {out / 'comparison.json'}", markup=False)


def _composed(
    recipes: Sequence[str],
    data: Sequence[str],
    benchmark: str,
    folder: Path | None,
    option: list[str] | None,
    limit: int | None,
    lr: str | None,
    tiny: bool,
    chosen: dict[str, Any],
) -> Comparison:
    """What the command line's options describe."""
    designs, sources = _designs(recipes), [_source(text) for text in data]
    fields = {
        "designs": designs,
        "data": sources,
        "benchmarks": _questions(benchmark, folder, option, limit, sources),
        "tiny": tiny,
        "rates": _rates(lr, tiny),
        **{key: value for key, value in chosen.items() if value is not None},
    }
    return checked(Comparison, Document(fields, {(): "comparison"}))


def _designs(recipes: Sequence[str]) -> list[dict[str, Any]]:
    """A design for each recipe, named after its file."""
    if len(recipes) < 2:
        raise OptionError(f"found {len(recipes)} recipes, needed two at least, or --study")
    return [{"name": _name(recipe), "recipe": recipe} for recipe in recipes]


def _name(recipe: str) -> str:
    """What a recipe is called: its file without the ending, with its preset."""
    return re.sub(r"\.ya?ml(?=:|$)", "", Path(recipe).name).replace(":", "-")


def _source(text: str) -> dict[str, Any]:
    if text.replace("-", "_") == _TINY_WORLD:
        return dict(_PICTURES)
    found = yaml_files.parse(text, "--data", OptionError).data
    if not isinstance(found, dict):
        raise OptionError(
            f"--data: found {text!r:.80}, needed tiny_world, or a source as recipes have it, for example "
            "'{source: llava_json, path: mix.json}'"
        )
    return found


def _questions(
    name: str, data: Path | None, option: list[str] | None, limit: int | None, sources: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    if not name:
        if not sources or any(source.get("source") != _TINY_WORLD for source in sources):
            found = "no --data" if not sources else "data that bring no questions of their own"
            needed = "--data tiny_world, for example" if not sources else "--benchmark NAME, see `modalink score list`"
            raise OptionError(f"found {found}, needed {needed}")
        name = _TINY_WORLD
    choice = {"name": name, "limit": limit, "options": pairs(option)}
    return {"accuracy": choice | ({} if data is None else {"data": str(data)})}


def _rates(text: str | None, tiny: bool) -> Rates | None:
    if text is None:
        return Rates() if tiny else None
    if text == "own":
        return None
    links, _, parts = text.partition(",")
    try:
        return Rates.model_validate({"links": links, "parts": parts or links})
    except ValidationError:
        raise OptionError(f"--lr: found {text!r}, needed one or two numbers above 0, for example 0.003,0.001") from None


def _numbers(text: str) -> list[int]:
    if not re.fullmatch(r"\d{1,18}(,\d{1,18})*", text.replace(" ", "")):
        raise OptionError(f"--seeds: found {text!r}, needed numbers with commas, for example 0,1,2")
    return [int(number) for number in text.split(",")]


def _duration(text: str) -> float:
    found = _DURATION.fullmatch(text.strip())
    if found is None or not float(found[1]):
        raise OptionError(f"--budget: found {text!r}, needed a time, for example 90s, 5m or 2h")
    return float(found[1]) * _SECONDS[found[2] or "s"]


def _varied(comparison: Comparison, chosen: dict[str, Any]) -> Comparison:
    """A study with another budget, seeds or batch."""
    changes = {key: value for key, value in chosen.items() if value is not None}
    if "steps" in changes or "seconds" in changes:
        changes = {"steps": None, "seconds": None, **changes}
    try:
        return comparison.replace(**changes)
    except ValidationError as error:
        raise RecipeError(error.errors()[0]["msg"]) from None


@contextmanager
def _showing(console: Console, comparison: Comparison) -> Iterator[OnRun]:
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


def _tables(results: Results) -> Iterator[Table]:
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

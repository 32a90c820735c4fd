"""`modalink compare`: several designs on the same data and budget."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from modalink.cli.comparing import (
    Benchmark,
    BenchmarkData,
    Budget,
    Rate,
    Seeds,
    Steps,
    Tiny,
    duration,
    finished,
    numbers,
    questions,
    rates,
    source,
)
from modalink.cli.options import Device, Threads, Workers
from modalink.cli.score import Choices
from modalink.comparison import Comparison
from modalink.comparison.design import load_study
from modalink.errors import OptionError, RecipeError
from modalink.recipe import checked
from modalink.settings import run_settings
from modalink.yaml_files import Document

_Study = Annotated[
    str | None, typer.Option("--study", help="A comparison that ships, or its file, instead of recipes and data.")
]
_Data = Annotated[
    list[str] | None,
    typer.Option("--data", help="What all learn from: `tiny_world`, or `{source: llava_json, path: FILE}`."),
]


def compare(
    recipes: Annotated[
        list[str] | None, typer.Argument(metavar="RECIPE...", help="Recipe files, or names of those that ship.")
    ] = None,
    *,
    study: _Study = None,
    data: _Data = None,
    benchmark: Benchmark = "",
    benchmark_data: BenchmarkData = None,
    option: Choices = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask the first questions only.")] = None,
    budget: Budget = None,
    steps: Steps = None,
    seeds: Seeds = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Conversations a step.")] = None,
    lr: Rate = None,
    tiny: Tiny = False,
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
    length = {"seconds": None if budget is None else duration(budget), "steps": steps}
    chosen = {**length, "seeds": None if seeds is None else numbers(seeds), "batch": batch}
    if study is None:
        comparison = _composed(recipes or [], data or [], benchmark, benchmark_data, option, limit, lr, tiny, chosen)
    elif recipes or data or benchmark or tiny or lr:
        raise OptionError("--study brings its designs, data, questions and rates; leave out the others")
    else:
        comparison = _varied(load_study(study), chosen)
    settings = run_settings(device=device, threads=threads, workers=workers)
    finished(comparison, out, settings, as_json=as_json)


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
    designs, sources = _designs(recipes), [source(text) for text in data]
    fields = {
        "designs": designs,
        "data": sources,
        "benchmarks": questions(benchmark, folder, option, limit, sources),
        "tiny": tiny,
        "rates": rates(lr, tiny),
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


def _varied(comparison: Comparison, chosen: dict[str, Any]) -> Comparison:
    """A study with another budget, seeds or batch."""
    changes = {key: value for key, value in chosen.items() if value is not None}
    if "steps" in changes or "seconds" in changes:
        changes = {"steps": None, "seconds": None, **changes}
    try:
        return comparison.replace(**changes)
    except ValidationError as error:
        raise RecipeError(error.errors()[0]["msg"]) from None

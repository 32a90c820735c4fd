"""`modalink data mix`: in what ratio sources teach most, found by short runs."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer

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
from modalink.comparison.mixing import designs, usual
from modalink.errors import OptionError
from modalink.recipe import checked
from modalink.settings import run_settings
from modalink.yaml_files import Document


def mix(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of one that ships.")],
    *,
    data: Annotated[
        list[str],
        typer.Option("--data", help="A source: `{source: llava_json, path: FILE}`; two or more times."),
    ],
    ratio: Annotated[
        list[str] | None,
        typer.Option(
            "--ratio",
            metavar="A:B",
            help="Shares of the sources' samples, in their order; may be repeated. By default each source alone, all "
            "alike, and three times as much of each.",
        ),
    ] = None,
    benchmark: Benchmark = "",
    benchmark_data: BenchmarkData = None,
    option: Choices = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask the first questions only.")] = None,
    budget: Budget = None,
    steps: Steps = None,
    seeds: Seeds = None,
    batch: Annotated[int, typer.Option(min=1, help="Conversations a step.")] = 16,
    lr: Rate = None,
    tiny: Tiny = False,
    out: Annotated[Path, typer.Option("--out", help="Folder of the runs and the result; one that is there resumes.")],
    device: Device = None,
    threads: Threads = None,
    workers: Workers = None,
    as_json: Annotated[bool, typer.Option("--json", help="The result as a JSON object.")] = False,
) -> None:
    """Train a recipe on several mixtures of the same sources, as briefly as you say, and tell which teaches most.

    Each ratio is a design of a comparison, as `modalink compare` makes them: same recipe, seeds, budget, questions and
    tests of differences. Killed and started again, it resumes.

    \b
    modalink data mix llava-1.5 --tiny --data "{source: tiny_world, tasks: [caption]}" \\
        --data "{source: tiny_world, tasks: [vqa], seed: 1}" --ratio 1:0 --ratio 1:3 --steps 100 --out runs/mix
    modalink data mix my.yaml --data "{source: messages, path: a.jsonl}" --data "{source: text, path: b.txt}" \\
        --benchmark gqa --benchmark-data gqa --budget 30m --seeds 0,1,2 --out runs/mix
    """
    sources = [source(text) for text in data]
    ratios = [_ratio(text) for text in ratio] if ratio else usual(len(sources))
    fields: dict[str, Any] = {
        "name": "mix",
        "designs": designs(recipe, sources, ratios),
        "data": sources,
        "benchmarks": questions(benchmark, benchmark_data, option, limit, sources),
        "tiny": tiny,
        "rates": rates(lr, tiny),
        "seconds": None if budget is None else duration(budget),
        "steps": steps,
        "batch": batch,
        "seeds": [0] if seeds is None else numbers(seeds),
    }
    comparison = checked(Comparison, Document(fields, {(): "mix"}))
    finished(comparison, out, run_settings(device=device, threads=threads, workers=workers), as_json=as_json)


def _ratio(text: str) -> tuple[float, ...]:
    try:
        shares = tuple(float(share) for share in text.split(":"))
    except ValueError:
        shares = ()
    if not shares or not all(math.isfinite(share) for share in shares):
        raise OptionError(f"--ratio: found {text!r:.80}, needed numbers with colons between them, for example 3:1")
    return shares

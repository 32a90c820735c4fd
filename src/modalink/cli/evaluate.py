"""`modalink evaluate`: how good a trained run is."""

import json
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from modalink.evaluation import tiny_world
from modalink.evaluation.report import keep, view, write_report
from modalink.evaluation.tiny_world import Sizes
from modalink.inference import load


class Benchmark(StrEnum):
    """What a run can be evaluated on."""

    tiny_world = "tiny-world"


class Split(StrEnum):
    """Which held-out compositions."""

    validation = "validation"
    test = "test"


def evaluate(
    run: Annotated[str, typer.Argument(help="A run folder, or a hub id of a saved system.")],
    *,
    benchmark: Annotated[Benchmark, typer.Option("--benchmark", help="What to evaluate on.")],
    split: Annotated[
        Split, typer.Option(help="`validation` for choosing settings, `test` for reporting.")
    ] = Split.test,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Questions, captions and drawings, each; by default 900, 500 and 500.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Picks questions, pictures and noise.")] = 0,
    device: Annotated[str | None, typer.Option(help="Where to compute; by default an accelerator, or the CPU.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The numbers as a JSON object.")] = False,
) -> None:
    """Evaluate a trained run; its report.json and report.html are written anew with the numbers.

    \b
    modalink evaluate runs/demo --benchmark tiny-world
    modalink evaluate runs/demo --benchmark tiny-world --split validation --samples 200 --json
    """
    heldout = on_tiny_world(run, sizes(split.value, samples, seed), device, Console(stderr=as_json, highlight=False))
    if as_json:
        print(json.dumps({key: value for key, value in heldout.items() if key != "examples"}, ensure_ascii=False))
    else:
        Console(highlight=False).print(*tables(heldout))


def sizes(split: str, samples: int | None, seed: int = 0) -> Sizes:
    """The default sizes, or the same number of each task."""
    counts = {} if samples is None else {"questions": samples, "captions": samples, "drawings": samples}
    return Sizes.model_validate({"split": split, "seed": seed, **counts})


def on_tiny_world(run: str, wanted: Sizes, device: str | None, console: Console) -> dict[str, Any]:
    """Evaluate on the tiny world, and write the numbers into the run and its reports, where it is a run folder."""
    system = load(run, device=device).system
    with console.status("evaluating") as status:

        def tell(task: str) -> None:
            status.update(f"evaluating: {task}")
            if not console.is_terminal:
                console.print(f"evaluating: {task}")

        heldout = tiny_world.evaluate(system, wanted, on_task=tell).to_dict()
    folder = Path(run)
    if (folder / "recipe.yaml").is_file():
        keep(folder, heldout)
        write_report(folder)
    return heldout


def tables(heldout: dict[str, Any]) -> Iterator[Table]:
    """The numbers beside their baselines, for a terminal."""
    table = Table(title=f"held-out numbers ({heldout['split']} split)")
    table.add_column("what")
    for heading in ("right", "95 % interval", "n"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("beside it")
    for meter in view.headline(heldout):
        interval = f"{view.percent(meter.low)} to {view.percent(meter.high)}"
        beside = "\n".join(f"{view.percent(mark.value)} {mark.name}" for mark in meter.marks)
        table.add_row(
            f"[bold]{meter.name}[/]\n{meter.what}", view.percent(meter.value), interval, str(meter.count), beside
        )
        table.add_section()
    yield table
    if kinds := view.kinds(heldout):
        table = Table(title="questions by kind")
        table.add_column("kind")
        for heading in ("right", *(mark.name for mark in kinds[0].marks)):
            table.add_column(heading, justify="right")
        for meter in kinds:
            table.add_row(meter.name, view.percent(meter.value), *(view.percent(mark.value) for mark in meter.marks))
        yield table

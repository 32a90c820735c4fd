"""`modalink doctor`: what a recipe means, before hours are spent on it."""

import json
import textwrap
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console

from modalink.cli.options import Device, Processes, Threads
from modalink.model.device import use
from modalink.planning import Finding, examine
from modalink.recipe import load
from modalink.settings import run_settings

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


def doctor(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of one that ships.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings to change, for example stages.0.batch=8.")
    ] = None,
    *,
    tiny: Annotated[bool, typer.Option("--tiny", help="The same system with every part at tiny size.")] = False,
    device: Device = None,
    threads: Threads = None,
    processes: Processes = None,
    as_json: Annotated[bool, typer.Option("--json", help="Findings as JSON lines.")] = False,
) -> None:
    """Check a recipe before training: machine, parts, widths, prompt, data, and one real batch of each stage.

    Ends with exit code 1 when something failed, so that a script can rely on it. Text that is learned stands between
    double brackets.

    \b
    modalink doctor demo
    modalink doctor my.yaml stages.0.batch=8
    """
    chosen = load(recipe, overrides or [], tiny=tiny)
    failed = False
    settings = run_settings(device=device, threads=threads, processes=processes)
    for finding in examine(chosen, device=use(settings), processes=settings.processes):
        failed |= finding.status == "failed"
        print(json.dumps(asdict(finding)), flush=True) if as_json else _draw(finding)
    raise typer.Exit(int(failed))


def _draw(finding: Finding) -> None:
    console = Console(highlight=False, soft_wrap=True)
    colour = _COLOURS[finding.status]
    console.print(f"[{colour}]{finding.status:8}[/] [bold]{finding.topic}[/]")
    for line in finding.lines:
        console.print(textwrap.indent(line.rstrip(), " " * 9), markup=False)

"""`modalink train`: a recipe becomes a run."""

from pathlib import Path
from typing import Annotated

import typer

from modalink.cli.options import Cache, Device, Threads, Workers
from modalink.cli.progress import show
from modalink.recipe import load
from modalink.settings import run_settings
from modalink.training.train import train as train_stages


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of one that ships.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings to change, for example stages.0.batch=8.")
    ] = None,
    *,
    run: Annotated[Path, typer.Option("--run", help="Folder of the run; one that holds this run already goes on.")],
    tiny: Annotated[bool, typer.Option("--tiny", help="The same system with every part at tiny size.")] = False,
    device: Device = None,
    threads: Threads = None,
    workers: Workers = None,
    cache: Cache = None,
    as_json: Annotated[bool, typer.Option("--json", help="Events as JSON lines.")] = False,
) -> None:
    """Train a recipe's stages in a run folder, or go on where it stopped.

    \b
    modalink train demo --run runs/demo
    modalink train my.yaml stages.0.batch=8 seed=1 --run runs/mine
    modalink train llava-1.5-7b --tiny --run runs/tiny-llava
    """
    chosen = load(recipe, overrides or [], tiny=tiny)
    settings = run_settings(device=device, threads=threads, workers=workers, cache=cache)
    with show(as_json=as_json) as on_event:
        train_stages(chosen, run, on_event=on_event, settings=settings)

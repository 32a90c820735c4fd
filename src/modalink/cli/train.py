"""`modalink train`: a recipe becomes a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from modalink.cli.options import Cache, Device, OnChangedData, Processes, Threads, Track, Workers, debugging, run_option
from modalink.cli.progress import show
from modalink.recipe import load
from modalink.runs.trackers import chosen, where
from modalink.settings import in_environment, run_settings
from modalink.training.launch import end_with_parent, launch, launched
from modalink.training.train import train as train_stages


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of one that ships.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings to change, for example stages.0.batch=8.")
    ] = None,
    *,
    run: Annotated[Path, run_option("Folder of the run; one that holds this run already resumes.")],
    tiny: Annotated[bool, typer.Option("--tiny", help="The same system with every part at tiny size.")] = False,
    device: Device = None,
    threads: Threads = None,
    processes: Processes = None,
    workers: Workers = None,
    cache: Cache = None,
    on_changed_data: OnChangedData = None,
    track: Track = None,
    as_json: Annotated[bool, typer.Option("--json", help="Events as JSON lines.")] = False,
) -> None:
    """Train a recipe's stages in a run folder, or go on where it stopped.

    \b
    modalink train demo --run runs/demo
    modalink train my.yaml stages.0.batch=8 seed=1 --run runs/mine
    modalink train llava-1.5-7b --tiny --run runs/tiny-llava
    modalink train my.yaml --run runs/mine --processes 8
    torchrun --nproc-per-node 8 -m modalink train my.yaml --run-dir runs/mine
    """
    system = load(recipe, overrides or [], tiny=tiny)
    settings = run_settings(
        device=device, threads=threads, processes=processes, workers=workers, cache=cache,
        on_changed_data=on_changed_data, track=track,
    )  # fmt: skip
    if settings.processes > 1 and not launched():
        flags = _flags({"--tiny": tiny, "--json": as_json})
        debug = _flags({"--debug": debugging.get()})
        command = ["-m", "modalink", *debug, "train", "--run", str(run), *flags, "--", recipe, *(overrides or [])]
        launch(command, settings.processes, in_environment(settings))
        return
    end_with_parent()
    with show(as_json=as_json, curves=where(chosen(settings.track), run)) as on_event:
        train_stages(system, run, on_event=on_event, settings=settings)


def _flags(given: dict[str, bool]) -> Sequence[str]:
    return [name for name, is_given in given.items() if is_given]

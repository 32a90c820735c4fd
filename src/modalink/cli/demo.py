"""`modalink demo`: the whole way, from frozen parts to a report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from rich.console import Console

from modalink.cli.evaluate import evaluate_by_itself, tables
from modalink.cli.options import Cache, Device, Threads, Track, Workers, run_option
from modalink.cli.progress import show
from modalink.evaluation.evaluators.tiny_world import EVALUATOR
from modalink.recipe import Recipe, load
from modalink.runs.trackers import chosen, where
from modalink.settings import run_settings
from modalink.tiny_world import render, sample_scene
from modalink.training.train import train

_RECIPE = "demo"
_FAST_SHARE = 0.1
_FAST_SAMPLES = 90
_EXAMPLES = 3


def demo(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Settings of the recipe to change, for example seed=1."),
    ] = None,
    *,
    run: Annotated[Path | None, run_option("Folder of the run; by default runs/demo.")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="A tenth of the training, and a smaller evaluation.")] = False,
    samples: Annotated[
        int | None,
        typer.Option(min=1, help="Held-out questions, captions and drawings, each; 900, 500, 500 by default."),
    ] = None,
    device: Device = None,
    threads: Threads = None,
    workers: Workers = None,
    cache: Cache = None,
    track: Track = None,
) -> None:
    """Train the tiny any-to-any system from the parts that ship, evaluate it on held-out data, and write the report.

    Started again, it resumes; a finished run is only evaluated again.

    \b
    modalink demo
    modalink demo --fast
    modalink demo --run runs/other-seed seed=1
    """
    console = Console(highlight=False)
    folder = run or Path("runs/demo-fast" if fast else "runs/demo")
    recipe = load(_RECIPE, overrides or [])
    if fast:
        recipe = shortened(recipe)
        samples = samples or _FAST_SAMPLES
    settings = run_settings(device=device, threads=threads, workers=workers, cache=cache, track=track)
    with show(console=console, curves=where(chosen(settings.track), folder)) as on_event:
        train(recipe, folder, on_event=on_event, settings=settings)
    counts = {} if samples is None else dict.fromkeys(("questions", "captions", "others", "drawings", "ood"), samples)
    results = evaluate_by_itself(str(folder), "tiny_world", EVALUATOR, counts, settings, console)
    pictures = write_examples(folder)
    console.print(*tables(results))
    console.print(_next_steps(folder, pictures), markup=False, soft_wrap=True)


def shortened(recipe: Recipe) -> Recipe:
    """The same recipe with a tenth of the steps: enough to see that everything works, not enough to be good."""
    stages = [stage.replace(steps=max(2, round((stage.steps or 0) * _FAST_SHARE))) for stage in recipe.stages]
    return recipe.replace(stages=stages)


def write_examples(run: Path) -> list[Path]:
    """Held-out pictures to ask about, as files in the run."""
    folder = run / "examples"
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number + 1}.png" for number in range(_EXAMPLES)]
    for number, path in enumerate(paths):
        Image.fromarray(render(sample_scene(number, "test"))).save(path)
    return paths


def _next_steps(run: Path, pictures: Sequence[Path]) -> str:
    return f"""
report   {run / "report.html"}
numbers  {run / "report.json"}

Now try:
  modalink ask {run} "what do you see?" --image {pictures[0]}
  modalink ask {run} "how many objects are there?" --image {pictures[1]}
  modalink ask {run} "draw a large red circle in the center." --out {run / "drawings"}
  modalink chat {run}"""

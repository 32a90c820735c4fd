"""`modalink demo`: the whole way, from frozen parts to a report."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from PIL import Image
from rich.console import Console

from modalink import modalities
from modalink.cli.evaluate import evaluate_by_itself, tables
from modalink.cli.options import Cache, Device, Threads, Track, Workers, run_option
from modalink.cli.progress import show
from modalink.errors import RecipeError, UnknownNameError
from modalink.evaluation.evaluators.tiny_world import EVALUATOR
from modalink.recipe import Recipe, load
from modalink.runs.trackers import chosen, where
from modalink.settings import run_settings
from modalink.tiny_world import WORLDS, ask_across, kinds_across
from modalink.tiny_world.across import Things
from modalink.tiny_world.media import SHOW
from modalink.training.train import train

_RECIPE = "demo"
_RECIPE_ALL = "demo-all"
_RECIPE_MAKES = "demo-makes"
INPUTS = ("image", "video", "audio", "points")
"""What the demo can read."""
OUTPUTS = ("image", "video", "audio", "points")
"""What the demo can make."""
_FAST_SHARE = 0.1
_FAST_SAMPLES = 90
_SAMPLED = ("questions", "captions", "others", "drawings", "made", "ood")
_EXAMPLE = 1
"""Number of the things to try it with."""
_SUFFIXES = {"image": ".png", "video": ".mp4", "audio": ".wav", "points": ".ply"}
_ASKED = {
    "image": "what do you see?",
    "video": "what happens?",
    "audio": "what do you hear?",
    "points": "what do the points show?",
}


def demo(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Settings of the recipe to change, for example seed=1."),
    ] = None,
    *,
    run: Annotated[Path | None, run_option("Folder of the run; by default runs/demo.")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="A tenth of the training, and a smaller evaluation.")] = False,
    inputs: Annotated[
        str, typer.Option(help=f"What it reads, separated by commas, out of {', '.join(INPUTS)}.")
    ] = "image",
    outputs: Annotated[
        str, typer.Option(help=f"What it makes, separated by commas, out of {', '.join(OUTPUTS)}.")
    ] = "image",
    samples: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Held-out questions, captions, drawings, other media, and questions about what is no picture, each.",
        ),
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
    modalink demo --inputs image,audio
    modalink demo --outputs image,points
    modalink demo --run runs/other-seed seed=1
    """
    console = Console(highlight=False)
    folder = run or Path("runs/demo-fast" if fast else "runs/demo")
    chosen_inputs, chosen_outputs = inputs_of(inputs), outputs_of(outputs)
    name = recipe_of(chosen_inputs, chosen_outputs)
    recipe = making(reading(load(name, overrides or []), chosen_inputs), chosen_outputs)
    if fast:
        recipe = shortened(recipe)
        samples = samples or _FAST_SAMPLES
    settings = run_settings(device=device, threads=threads, workers=workers, cache=cache, track=track)
    with show(console=console, curves=where(chosen(settings.track), folder)) as on_event:
        train(recipe, folder, on_event=on_event, settings=settings)
    counts = {} if samples is None else dict.fromkeys(_SAMPLED, samples)
    results = evaluate_by_itself(str(folder), "tiny_world", EVALUATOR, counts, settings, console)
    examples = write_examples(folder, list(recipe.inputs))
    console.print(*tables(results))
    console.print(_next_steps(folder, examples, list(recipe.outputs)), markup=False, soft_wrap=True)


def inputs_of(text: str) -> list[str]:
    """The modalities of an option, each once.

    Raises:
        UnknownNameError: One is none that the demo can read.
    """
    return _names(text, "input", INPUTS)


def outputs_of(text: str) -> list[str]:
    """The same of what it makes.

    Raises:
        UnknownNameError: One is none that the demo can make.
    """
    return _names(text, "output", OUTPUTS)


def _names(text: str, what: str, known: Sequence[str]) -> list[str]:
    chosen = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in chosen:
        if name not in known:
            raise UnknownNameError(what, name, known)
    return chosen


def recipe_of(inputs: Sequence[str], outputs: Sequence[str]) -> str:
    """The recipe that reads and makes some modalities.

    Raises:
        RecipeError: There is none.
    """
    if list(outputs) == ["image"]:
        return _RECIPE if list(inputs) == ["image"] else _RECIPE_ALL
    if list(inputs) != ["image"]:
        raise RecipeError(
            f"found the inputs {', '.join(inputs)} beside the outputs {', '.join(outputs)}, needed one of them to be "
            "image alone: no recipe of the demo does both; leave --inputs or --outputs out"
        )
    return _RECIPE_MAKES


def making(recipe: Recipe, outputs: Sequence[str]) -> Recipe:
    """The same recipe with some of its outputs alone: nothing of the others is trained, or asked for."""
    if set(outputs) == set(recipe.outputs):
        return recipe
    lost = set(recipe.outputs) - set(outputs)
    stages = []
    for stage in recipe.stages:
        train = {g: spec for g, spec in stage.train.items() if not any(g.startswith(f"outputs.{m}.") for m in lost)}
        data = [kept for source in stage.data if (kept := _asked_for(source, lost)) is not None]
        losses = [kept for loss in stage.objectives if (kept := _about(loss, lost)) is not None]
        if train and data:
            stages.append(stage.replace(train=train, data=data, objectives=losses))
    return recipe.replace(outputs={name: recipe.outputs[name] for name in outputs}, stages=stages)


def _asked_for(source: Any, lost: Collection[str]) -> Any:
    """A source of the tiny world that asks for nothing that is not made."""
    unasked = {"draw"} if "image" in lost else set()
    unasked |= {"make"} if set(source.shows) & set(lost) else set()
    tasks = {task: share for task, share in source.tasks.items() if task not in unasked}
    return source.replace(tasks=tasks) if tasks else None


def _about(objective: Any, lost: Collection[str]) -> Any:
    """An objective that is about nothing that is not made."""
    if getattr(objective, "modalities", None) is None:
        return objective
    left = [modality for modality in objective.modalities if modality not in lost]
    return objective.replace(modalities=left) if left else None


def reading(recipe: Recipe, inputs: Sequence[str]) -> Recipe:
    """The same recipe with some of its inputs alone: nothing of the others is trained, or shown by the tiny world."""
    if set(inputs) == set(recipe.inputs):
        return recipe
    stages = []
    for stage in recipe.stages:
        train = {group: spec for group, spec in stage.train.items() if not _lost(group, inputs)}
        data = [kept for source in stage.data if (kept := _shown(source, inputs)) is not None]
        if train and data:
            stages.append(stage.replace(train=train, data=data))
    return recipe.replace(inputs={name: recipe.inputs[name] for name in inputs}, stages=stages)


def _lost(group: str, inputs: Sequence[str]) -> bool:
    room, _, rest = str(group).partition(".")
    return room == "inputs" and rest.split(".")[0] not in inputs


def _shown(source: Any, inputs: Sequence[str]) -> Any:
    """A source of the tiny world without what is not read; of pictures that are not read drawings stay, if any."""
    if set(source.shows) == {"image"} and "image" not in inputs:
        return source.replace(tasks={"draw": source.tasks["draw"]}) if "draw" in source.tasks else None
    across = bool(kinds_across(frozenset(inputs)))
    shows = {name: share for name, share in source.shows.items() if name in inputs or (name == "across" and across)}
    among = inputs if len(inputs) > 1 else source.modalities
    return source.replace(shows=shows, modalities=list(among)) if shows else None


def shortened(recipe: Recipe) -> Recipe:
    """The same recipe with a tenth of the steps: enough to see that everything works, not enough to be good."""
    stages = [stage.replace(steps=max(2, round((stage.steps or 0) * _FAST_SHARE))) for stage in recipe.stages]
    return recipe.replace(stages=stages)


class Example(NamedTuple):
    """A question, and the files that it is about, each with its modality."""

    question: str
    files: list[tuple[str, Path]]


def write_examples(run: Path, inputs: Sequence[str]) -> list[Example]:
    """Questions about held-out things of each modality, and one across them, with the things as files in the run."""
    folder = run / "examples"
    folder.mkdir(exist_ok=True)
    asked: list[tuple[str, Things]] = [
        (_ASKED[name], ((name, WORLDS[name].sample(_EXAMPLE, "test")),)) for name in inputs
    ]
    if kinds := kinds_across(frozenset(inputs)):
        things, question = ask_across(np.random.default_rng(_EXAMPLE), "test", kinds[0])
        asked.append((question.text, things))
    examples = []
    for number, (text, things) in enumerate(asked, start=1):
        files = [
            (name, folder / f"{number}{'ab'[i] if len(things) > 1 else ''}{_SUFFIXES[name]}")
            for i, (name, _) in enumerate(things)
        ]
        for (name, thing), (_, path) in zip(things, files, strict=True):
            write = modalities.get(name).write
            assert write is not None
            medium = SHOW[name](thing)
            write(Image.fromarray(medium) if name == "image" else medium, path)
        examples.append(Example(text, files))
    return examples


_FOLDERS = {"image": "drawings", "video": "clips", "audio": "sounds", "points": "shapes"}
_WANTED = {
    "image": "draw a large red circle in the center.",
    "video": "make this video: a large red circle slowly moves leftward",
    "audio": "make this sound: a long high rising bell",
    "points": "make this 3-d shape: a large tilted red torus",
}


def _next_steps(run: Path, examples: Sequence[Example], outputs: Sequence[str]) -> str:
    asks = [
        f'  modalink ask {run} "{example.question}" ' + " ".join(f"--{name} {path}" for name, path in example.files)
        for example in examples
    ]
    asks += [f'  modalink ask {run} "{_WANTED[name]}" --out {run / _FOLDERS[name]}' for name in outputs]
    return f"""
report   {run / "report.html"}
numbers  {run / "report.json"}

Now try:
{chr(10).join(asks)}
  modalink chat {run}"""

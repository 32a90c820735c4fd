"""All runs of a comparison, one after the other, in one folder.

OUT/comparison.yaml          what the designs share; a folder with another is refused
    pace/DESIGN/             a few steps, where the budget is a time; pace.json says what a step took
    runs/DESIGN/seed-N/      a run folder like any other, with measured.json
    comparison.json, .md, .svg
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from modalink import json_files, yaml_files
from modalink.comparison.design import Comparison
from modalink.comparison.measuring import Measured, measure, pace
from modalink.comparison.recipes import Comparable, comparables, shown, split
from modalink.comparison.results import Results, results
from modalink.errors import CheckpointError, OptionError, RecipeError
from modalink.evaluation.dataset import Dataset, of_questions, open_dataset
from modalink.recipe import BenchmarkChoice
from modalink.runs.folder import differences, write_json, write_text
from modalink.settings import RunSettings, run_settings
from modalink.training.events import Event

SHARED, PACE, RUNS = "comparison.yaml", "pace", "runs"


@dataclass(frozen=True)
class OnRun:
    """Hears how far a comparison is; every function does nothing unless it is given."""

    event: Callable[[str, int | None, Event], None] = lambda design, seed, event: None
    """What training does: design, seed, event; no seed where a step is only timed."""
    done: Callable[[str, int, Measured], None] = lambda design, seed, measured: None
    """What a run came to."""
    note: Callable[[str], None] = lambda text: None
    """What the comparison changed or measured, in words."""


def compare(
    comparison: Comparison, out: Path, *, settings: RunSettings | None = None, on_run: OnRun | None = None
) -> Results:
    """Train all designs with all seeds, ask them, and weigh their answers; what is done already is not done again.

    Args:
        comparison: What is compared.
        out: Folder of the comparison: new, empty, or one of the same comparison, with these designs or others.
        settings: The machine; features of frozen parts are kept in memory alone, so that no design profits from
            another.
        on_run: Hears how far it is.

    Raises:
        RecipeError: A design cannot be compared; nothing was trained.
        DataError: Data or questions cannot be read; nothing was trained.
        CheckpointError: The folder holds another comparison, or cannot be written.
        TrainingError: A step must not go on, or training was interrupted; the same call goes on from there.
    """
    settings = (run_settings() if settings is None else settings).model_copy(update={"cache": None, "track": ()})
    hear = on_run or OnRun()
    benchmarks = {heading: (choice, _dataset(heading, choice)) for heading, choice in comparison.benchmarks.items()}
    reads = _reads(comparison, benchmarks)
    designs = comparables(comparison, reads)
    _open(out, comparison)
    for one in designs:
        for text in one.notes:
            hear.note(f"{one.design.name}: {text}")
    steps = {one.design.name: _steps(one, comparison, out, settings, hear) for one in designs}
    measured: dict[str, list[Measured]] = {one.design.name: [] for one in designs}
    for seed in comparison.seeds:  # in this order: a comparison that is stopped early has something of every design
        for one in designs:
            name = one.design.name
            recipe = one.with_steps(steps[name], seed)
            found = measure(recipe, _folder(out, name, seed), benchmarks, settings, _hearing(hear, name, seed))
            measured[name].append(found)
            hear.done(name, seed, found)
    weighed = results(comparison, measured, {one.design.name: one.notes for one in designs})
    write_json(out / "comparison.json", weighed.to_dict())
    return weighed


def _folder(out: Path, design: str, seed: int) -> Path:
    return out / RUNS / design / f"seed-{seed}"


def _hearing(hear: OnRun, design: str, seed: int | None) -> Callable[[Event], None]:
    return lambda event: hear.event(design, seed, event)


def _dataset(heading: str, choice: BenchmarkChoice) -> Dataset:
    folder = None if choice.data is None else Path(choice.data)
    try:
        return of_questions(open_dataset(choice.name, folder, split=choice.split, options=choice.options))
    except OptionError as error:
        raise OptionError(f"benchmark {heading}: {error}") from None


def _reads(comparison: Comparison, benchmarks: Mapping[str, tuple[BenchmarkChoice, Dataset]]) -> set[str]:
    """The modalities that the designs must read."""
    found = shown([*comparison.data, *(source for design in comparison.designs for source in design.data or ())])
    for choice, dataset in benchmarks.values():
        for question in dataset.questions[: choice.limit]:
            if question.media or question.shown:
                found.add(question.modality or dataset.benchmark.setup.modality)
    if not found:
        raise RecipeError(
            "found neither data nor questions that show anything, needed some: designs differ in how they see"
        )
    return found


def _open(out: Path, comparison: Comparison) -> None:
    """Make the folder, or check that it holds runs of the same comparison."""
    path = out / SHARED
    shared = comparison.shared()
    if not path.is_file():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            found = "a file" if not out.is_dir() else "a folder with other files"
            raise CheckpointError(
                f"{out}: found {found}, needed an empty folder or one of a comparison; choose another"
            )
        write_text(path, yaml.safe_dump(shared, sort_keys=False, allow_unicode=True, width=120))
        return
    before = yaml_files.read(path, CheckpointError, remedy="restore it, or choose another folder").data
    changed = differences(before, shared)
    if changed:
        lines = "".join(f"\n  {key}: there {old}, now {new}" for key, (old, new) in changed.items())
        raise CheckpointError(
            f"{out} holds another comparison; they differ in{lines}\n"
            "give the same data, budget, seeds and questions to go on with it, or another folder"
        )


def _steps(one: Comparable, comparison: Comparison, out: Path, settings: RunSettings, hear: OnRun) -> list[int]:
    """The steps of each stage of a design: the budget's, or as many as its time allows."""
    stages, name = len(one.recipe.stages), one.design.name
    if comparison.steps is not None:
        if comparison.steps < stages:
            raise OptionError(f"design {name}: found a budget of {comparison.steps} steps for {stages} stages")
        return split(comparison.steps, stages)
    assert comparison.seconds is not None
    seconds = _paced(one, comparison, out, settings, hear)
    share = comparison.seconds / stages
    steps = [int(share / each) for each in seconds]
    if min(steps) < 1:
        raise OptionError(
            f"design {name}: found a budget of {share:.3g} s a stage, and a step takes {max(seconds):.3g} s; "
            "give it more"
        )
    hear.note(f"{name}: {', '.join(f'{n} steps of {s:.3g} s' for n, s in zip(steps, seconds, strict=True))}")
    return steps


def _paced(one: Comparable, comparison: Comparison, out: Path, settings: RunSettings, hear: OnRun) -> list[float]:
    """What a step takes in each stage: measured once, so that a comparison that is started again has the same steps."""
    name = one.design.name
    path = out / PACE / f"{name}.json"
    if path.is_file():
        kept: list[float] = json_files.read(path, CheckpointError, list[float], remedy="delete it, and start again")
        return kept
    run = out / PACE / name
    seconds = pace(
        one.with_steps([1] * len(one.recipe.stages), comparison.seeds[0]), run, settings, _hearing(hear, name, None)
    )
    write_json(path, seconds)
    shutil.rmtree(run)
    return seconds

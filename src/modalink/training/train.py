"""A run: all stages of a recipe, one after the other, in one folder."""

import errno
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast

from modalink import files
from modalink.errors import CheckpointError
from modalink.features.cache import FeatureCache
from modalink.llms import remarks
from modalink.model import System, compose
from modalink.model.device import use
from modalink.model.sized import layouts, sized
from modalink.recipe import Recipe
from modalink.runs import seal, trackers
from modalink.runs.folder import MODEL, RECIPE, locked, open_run
from modalink.runs.manifest import manifest, write_manifest
from modalink.runs.unwritable import unwritable
from modalink.settings import RunSettings, run_settings
from modalink.training import parallel
from modalink.training.as_before import as_before
from modalink.training.earlier import EarlierStages
from modalink.training.events import Event, Noted, OnEvent, RunFinished, RunStarted, Warned
from modalink.training.interrupts import StopRequest
from modalink.training.loop import Run
from modalink.training.opening import open_cache
from modalink.training.stages import StageConfig
from modalink.training.weights import find_lent, initialise

_OF_A_MODEL = (seal.SEAL, "config.json", "model.safetensors")
"""A folder that holds one of these, or nothing, may be replaced by the trained model."""


def train(
    recipe: Recipe,
    run: Path,
    *,
    system: System | None = None,
    on_event: OnEvent | None = None,
    cache: FeatureCache | None = None,
    settings: RunSettings | None = None,
) -> Path:
    """Train a recipe's stages, each from the weights of the one before.

    An unfinished run of the same recipe in the folder is gone on with, to the bit; a finished one is left as it is.

    Args:
        recipe: The parts and the stages.
        run: The run folder: new, empty, or a run of this recipe.
        system: The composed parts, if they exist already, fresh from `compose`; they are trained in place.
        on_event: Hears what happens, see `modalink.training.events`; of several processes only the first speaks.
        cache: Where outputs of frozen parts are kept; by default in memory and where the settings say.
        settings: What it may use of the machine; by default what `modalink.settings.run_settings` finds.

    Returns:
        The run folder; the trained model is in its folder `model`.

    Raises:
        CheckpointError: The folder is no run of this recipe, or cannot be written.
        TrainingError: A step must not go on, or training was interrupted (`interrupts.Interrupted`).
    """
    settings = run_settings() if settings is None else settings
    place, track = use(settings), trackers.chosen(settings.track)
    with parallel.process_group(place), StopRequest() as stop, _opened(run, recipe) as (known, check):
        emit = on_event if on_event is not None and parallel.rank() == 0 else _say_nothing
        if _is_complete(run, emit):
            emit(RunFinished(run, before=True))
            return run
        steps = {stage.name: stage.steps for stage in recipe.stages if stage.steps is not None}
        emit(RunStarted(run, known, steps))
        for text in [*_missing_processes(settings), *(as_before(run, settings, place) if known else [])]:
            emit(Warned(text))
        system = compose(recipe, seed=recipe.seed) if system is None else system
        for stage in recipe.stages:  # at once, not when it is a stage's turn
            layouts(system.spec, stage.image_size)
        for text in remarks(system.model.language_model):
            emit(Noted(text))
        lent = find_lent(recipe, lambda text: emit(Warned(text)))
        if parallel.rank() == 0:
            lineage = {"lineage": [saved.lineage() for saved in lent.values()]}
            write_manifest(run / "manifest.json", manifest(recipe, system, place, parallel.world()) | lineage)
        if None in lent:
            initialise(system.model, lent[None])
        cache = open_cache(recipe, place, settings) if cache is None else cache
        machine = (settings.workers, track, settings.on_changed_data)
        earlier = EarlierStages(recipe, run, system.model, lent)
        _train_stages(Run(run, recipe, system, cache, place, emit, stop, *machine, check, earlier))
        if parallel.rank() == 0:
            check()
            _save_model(system, run / MODEL)
        parallel.barrier()
        emit(RunFinished(run, before=False))
    return run


def _train_stages(run: Run) -> None:
    try:
        for stage in run.recipe.stages:
            run.check_folder()
            if run.earlier is not None and (saved := run.earlier.beginning(stage)) is not None:
                initialise(run.system.model, saved)
            with sized(run.system, stage.image_size):
                cast(StageConfig, stage).run(run)
    finally:
        run.cache.flush()


def _missing_processes(settings: RunSettings) -> Iterator[str]:
    if settings.processes > parallel.world() == 1:
        text = f"found one process, and the settings ask for {settings.processes}"
        yield f"{text}: `modalink train --processes` or `torchrun` start them"


def _is_complete(run: Path, emit: OnEvent) -> bool:
    """Whether the trained model is there, whole: all processes hear what the first finds.

    Raises:
        CheckpointError: Something stands in its place that training did not put there.
    """
    model, found = run / MODEL, "absent"
    if parallel.rank() == 0 and os.path.lexists(model):
        found = seal.flaw(model) or "whole"
        ours = model.is_dir() and (not any(model.iterdir()) or any((model / name).exists() for name in _OF_A_MODEL))
        if found != "whole" and not ours:
            raise unwritable(model, FileExistsError(errno.EEXIST, "something else is there"))
    (found,) = parallel.gathered([found] if parallel.rank() == 0 else [])
    if found not in ("absent", "whole"):
        emit(Warned(f"{model}: {found}; it is written anew from the stages' checkpoints"))
    return found == "whole"


@contextmanager
def _opened(run: Path, recipe: Recipe) -> Iterator[tuple[bool, Callable[[], None]]]:
    """The run folder, held by one process, and its check; the others wait until it is made or checked."""
    with ExitStack() as stack:
        known, check = False, _nothing
        if parallel.rank() == 0:
            known = open_run(run, recipe)
            check = stack.enter_context(locked(run))
        (known,) = parallel.gathered([known] if parallel.rank() == 0 else [])
        if not (run / RECIPE).exists():
            raise CheckpointError(
                f"{run}: process {parallel.rank()}, on {platform.node()}, does not see the run folder; needed one on a "
                "file system that all machines share, at the same path"
            )
        yield known, check


def _save_model(system: System, folder: Path) -> None:
    """Write the trained model, whole or not at all: where its folder is, the run is done."""
    system.model.requires_grad_(False)
    system.model.train(False)
    try:
        with files.replacing(folder) as beside:
            system.save(beside)
            seal.seal(beside)
    except OSError as error:
        raise unwritable(folder, error, "the stages' checkpoints are whole") from error


def _say_nothing(event: Event) -> None:
    pass


def _nothing() -> None:
    pass

"""From a run folder to a session."""

import os
from pathlib import Path

from torch import nn

from modalink import files, hub, tensor_files
from modalink.devices import multiplies_bfloat16
from modalink.errors import CheckpointError, PartError
from modalink.inference.session import Session
from modalink.model import System
from modalink.model.device import use
from modalink.runs.saved_weights import best_of_run
from modalink.settings import run_settings


def load(
    run: str | os.PathLike[str],
    *,
    best: bool = False,
    generators: bool = True,
    device: str | None = None,
    threads: int | None = None,
) -> Session:
    """A session with a trained system.

    Args:
        run: A run folder, a folder that `System.save` wrote, or a hub id of one.
        best: Take the best checkpoint of the last stage that kept one, instead of the end of training.
        generators: Whether generators are loaded; without them an answer notes which media it asks for.
        device: Where to compute; see `modalink.settings` for this and its default.
        threads: CPU threads of one operation; the same.

    Raises:
        CheckpointError: The folder holds no finished run, or no best checkpoint where one is wanted.
        PartError: A part that the system refers to is not to be had.
    """
    place = use(run_settings(device=device, threads=threads))
    system = load_system(run, best=best, generators=generators)
    modules: list[nn.Module] = [system.model, *system.generators.values()]
    for module in modules:
        module.to(place).eval()
        if not multiplies_bfloat16(place):
            module.float()  # where bfloat16 is emulated, float32 is faster
    return Session(system)


def load_system(run: str | os.PathLike[str], *, best: bool = False, generators: bool = True) -> System:
    """The system of a run as it was saved, in the precision of its parts.

    Args:
        run: A run folder, a folder that `System.save` wrote, or a hub id of one.
        best: Take the best checkpoint of the last stage that kept one, instead of the end of training.
        generators: Whether generators are loaded.

    Raises:
        CheckpointError: The folder holds no finished run, or no best checkpoint where one is wanted.
        PartError: A part that the system refers to is not to be had.
    """
    system = System.load(model_folder(run), generators=generators)
    if best:
        _take(system, best_of_run(files.named(run, CheckpointError)))
    return system


def _take(system: System, weights: Path) -> None:
    """Put the weights of a checkpoint of the run into its system."""
    parameters = dict(system.model.named_parameters())
    tensors = tensor_files.read(weights, CheckpointError)
    if unknown := sorted(tensors.keys() - parameters.keys()):
        raise CheckpointError(f"{weights}: found {unknown[0]}, which is no parameter of the run's model")
    tensor_files.refuse_odd(tensors, parameters, weights, CheckpointError)
    for name, tensor in tensors.items():
        parameters[name].data = tensor


def model_folder(run: str | os.PathLike[str]) -> Path:
    """Where the saved system of a run lies, fetched from the hub if it must be.

    Raises:
        CheckpointError: There is no finished run.
    """
    folder = files.named(run, CheckpointError)
    if (folder / "model" / "config.json").is_file():
        return folder / "model"
    if (folder / "config.json").is_file():
        return folder
    if (folder / "recipe.yaml").is_file():
        raise CheckpointError(f"{run}: the run is not finished; `modalink train RECIPE --run {run}` goes on with it")
    if folder.exists():
        raise CheckpointError(f"{run}: found no run there; train one with `modalink train RECIPE --run FOLDER`")
    try:
        return hub.locate(str(run))
    except PartError as error:
        raise CheckpointError(
            f"found no run in a folder {run}; train one with `modalink train RECIPE --run {run}`. As a hub id: {error}"
        ) from None

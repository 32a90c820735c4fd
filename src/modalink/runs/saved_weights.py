"""Weights that a run, or a folder of a saved system, can lend to another run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from modalink import files, tensor_files
from modalink.errors import CheckpointError, UnknownNameError
from modalink.model import ModalinkForConditionalGeneration
from modalink.model.configuration import read_config
from modalink.recipe import Init
from modalink.runs import checkpoints
from modalink.runs.folder import MODEL, RECIPE, read_recipe


@dataclass(frozen=True)
class SavedWeights:
    """Files of weights that were found.

    Args:
        init: What the recipe asked for.
        folder: Where that is.
        paths: The files; where two hold one name, the later one counts.
        model: A saved model whose weights are meant, those that it refers to as well, instead of files.
    """

    init: Init
    folder: Path
    paths: list[Path]
    model: Path | None = None

    @property
    def changed_alone(self) -> bool:
        """False: of each group that it has it holds all."""
        return False

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name.

        Raises:
            CheckpointError: A file is damaged.
            PartError: A part that a model refers to is not to be had.
        """
        if self.model is not None:
            whole = ModalinkForConditionalGeneration.from_pretrained(self.model)
            return {name: parameter.detach() for name, parameter in whole.named_parameters()}
        return {
            name: tensor for path in self.paths for name, tensor in tensor_files.read(path, CheckpointError).items()
        }

    def lineage(self) -> dict[str, Any]:
        """Where they come from and what they are, for a manifest."""
        paths = self.paths if self.model is None else sorted(self.model.glob("*.safetensors"))
        hashes = {str(path.relative_to(self.folder)): files.sha256(path) for path in paths}
        if self.model is not None:
            hashes |= {part: held["sha256"] for part, held in read_config(self.model).references.items()}
        return {**self.init.model_dump(mode="json"), "sha256": hashes}


def find(init: Init, warn: Callable[[str], None]) -> SavedWeights:
    """Find what an `init` asks for: of a run what its stages have trained, up to one if it names one; of a run without
    stages, as an import makes it, all its weights.

    Args:
        init: The place: another run's, not an earlier stage of the run that asks.
        warn: Hears of damaged checkpoints, which are passed over.

    Raises:
        CheckpointError: There is no such folder, or it holds no weights.
        UnknownNameError: The run has no stage of that name.
    """
    folder = files.named(str(init.source), CheckpointError)
    if (folder / RECIPE).is_file() and _is_imported(init, folder):
        return SavedWeights(init, folder, [], folder / MODEL)
    if (folder / RECIPE).is_file():
        return SavedWeights(init, folder, _of_run(init, folder, warn))
    if init.stage is not None:
        raise CheckpointError(f"init from {init.source}: found no run there, needed one to take its stage {init.stage}")
    if not (found := sorted(folder.glob("*.safetensors"))):
        raise CheckpointError(f"init from {init.source}: found neither a run nor *.safetensors there, needed one")
    return SavedWeights(init, folder, found)


def _is_imported(init: Init, folder: Path) -> bool:
    """Whether a run is one that nothing has trained: what it lends is what its parts refer to."""
    return init.stage is None and not read_recipe(folder).stages and (folder / MODEL).is_dir()


def _of_run(init: Init, folder: Path, warn: Callable[[str], None]) -> list[Path]:
    names = [stage.name for stage in read_recipe(folder).stages]
    if init.stage is not None and init.stage not in names:
        raise UnknownNameError(f"stage of {init.source}", init.stage, names)
    last = len(names) if init.stage is None else names.index(init.stage) + 1
    found = {name: _latest(folder / name, warn) for name in names[:last]}
    if init.checkpoint == "best":
        found[names[last - 1]] = _best(init, folder / names[last - 1])
    paths = [path for path in found.values() if path is not None]
    if init.stage is None and not paths:
        paths = sorted((folder / MODEL).glob("*.safetensors"))
    if not paths or (init.stage is not None and found[init.stage] is None):
        raise CheckpointError(
            f"init from {init.source}: found no checkpoint of {init.stage or 'any stage'} there; train it further, or "
            "name another stage"
        )
    return paths


def best_of_run(run: Path) -> Path:
    """The file of the best weights that the last stage with such ones keeps.

    Raises:
        CheckpointError: No stage keeps any, or they are damaged.
    """
    for stage in reversed(read_recipe(run).stages):
        if (path := checkpoints.best_weights(run / stage.name / "checkpoints")) is not None:
            return path
    raise CheckpointError(f"{run}: found no best checkpoint; a stage keeps one with evaluate: {{keep_best: ...}}")


def _latest(stage: Path, warn: Callable[[str], None]) -> Path | None:
    checkpoint = checkpoints.latest(stage / "checkpoints", warn)
    return None if checkpoint is None else checkpoint.result


def _best(init: Init, stage: Path) -> Path:
    if (path := checkpoints.best_weights(stage / "checkpoints")) is None:
        raise CheckpointError(
            f"init from {init.source}: its stage {stage.name} keeps no best checkpoint; a stage keeps one with "
            "evaluate: {keep_best: ...}; or take the latest"
        )
    return path

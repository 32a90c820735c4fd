"""Checkpoints of a stage: atomic on disk, sealed against damage, and enough to go on to the bit.

    STAGE/checkpoints/step-00000500/weights.safetensors     the trained groups
                                    optimizer.safetensors   the optimizer's state
                                    average.safetensors     their moving average, where the stage keeps one
                                    critic.safetensors      a critic of its own and its optimizer, where it has one
                                    state.json              step, data cursor, metrics' length, the files' hashes
                      best/                                 weights and state of the stage's best evaluation

A checkpoint is either whole or absent. Random states need
no place in it: every step derives its own (see `randomness.py`).
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from modalink import files, json_files, tensor_files
from modalink.errors import CheckpointError, shown
from modalink.runs.unwritable import unwritable

WEIGHTS, OPTIMIZER, STATE = "weights.safetensors", "optimizer.safetensors", "state.json"
AVERAGE, CRITIC = "average.safetensors", "critic.safetensors"
BEST = "best"
KEPT = 2
"""How many checkpoints of a stage stay: the newest, and the one before in case the newest is damaged."""


@dataclass(frozen=True)
class Progress:
    """Where a stage stands.

    Args:
        step: How many steps are done.
        steps: How many steps the stage has.
        cursor: The data loader's place.
        watch: Which parameters have received a gradient.
        metrics_bytes: Length of `metrics.jsonl`.
        noted: What objectives noted of the last step, by their names, see `ObjectiveConfig.noted`.
        critic_watch: Which parameters of a critic of its own have received a gradient.
    """

    step: int
    steps: int
    cursor: dict[str, Any]
    watch: dict[str, Any]
    metrics_bytes: int
    noted: dict[str, dict[str, float]] = field(default_factory=dict)
    critic_watch: dict[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether the stage is finished."""
        return self.step >= self.steps


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was found whole."""

    path: Path
    progress: Progress

    def weights(self) -> dict[str, Tensor]:
        """The trained parameters by name."""
        return tensor_files.read(self.path / WEIGHTS, CheckpointError)

    @property
    def result(self) -> Path:
        """The file of what the stage has made so far: the average where it keeps one, else the weights."""
        average = self.path / AVERAGE
        return average if average.is_file() else self.path / WEIGHTS

    def average(self) -> dict[str, Tensor]:
        """The moving average of the trained parameters by name; empty where the stage keeps none."""
        return self._read(AVERAGE)

    def critic(self) -> dict[str, Tensor]:
        """A critic of its own, see `Critic.tensors`; empty where the stage has none."""
        return self._read(CRITIC)

    def _read(self, name: str) -> dict[str, Tensor]:
        path = self.path / name
        return tensor_files.read(path, CheckpointError) if path.is_file() else {}

    def optimizer(self) -> dict[str, Tensor]:
        """The optimizer's state, see `optimization.optimizer_tensors`."""
        return tensor_files.read(self.path / OPTIMIZER, CheckpointError)


def save(
    folder: Path,
    progress: Progress,
    weights: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor],
    average: Mapping[str, Tensor] | None = None,
    critic: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write a checkpoint and remove the oldest ones.

    Args:
        folder: The stage's checkpoints.
        progress: Where the stage stands.
        weights: The trained parameters.
        optimizer: The optimizer's state.
        average: Their moving average, where the stage keeps one.
        critic: A critic of its own, where the stage has one.

    Returns:
        The checkpoint's folder.

    Raises:
        CheckpointError: It cannot be written; what was saved before stays as it is.
    """
    final = folder / f"step-{progress.step:08d}"
    # One that stands there already can only be one that was found damaged.
    given = {WEIGHTS: weights, OPTIMIZER: optimizer, AVERAGE: average, CRITIC: critic}
    _write(final, {name: part for name, part in given.items() if part is not None}, asdict(progress))
    for old in _steps(folder)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def save_best(folder: Path, step: int, metric: str, value: float, weights: Mapping[str, Tensor]) -> Path:
    """Keep the weights of a stage's best evaluation, in place of an earlier one's.

    Returns:
        Their folder.

    Raises:
        CheckpointError: They cannot be written.
    """
    _write(folder / BEST, {WEIGHTS: weights}, {"step": step, "metric": metric, "value": value})
    return folder / BEST


def best_weights(folder: Path) -> Path | None:
    """The file of the weights that a stage keeps as its best; None where it keeps none.

    Raises:
        CheckpointError: They are damaged.
    """
    if not (folder / BEST / STATE).exists():
        return None
    try:
        _unsealed(folder / BEST)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / BEST}: this checkpoint is damaged ({error}); use the latest one") from error
    return folder / BEST / WEIGHTS


def latest(folder: Path, warn: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint of a stage, or None if there is none; `warn` hears of damaged ones."""
    for path in _steps(folder):
        try:
            return Checkpoint(path, _checked(path))
        except (OSError, ValueError, KeyError, TypeError) as error:
            warn(f"{path}: this checkpoint is damaged ({error}); going on from the one before it")
    return None


def _write(final: Path, parts: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> None:
    """A checkpoint's folder, whole or not at all."""
    needed = sum(tensor.nbytes for part in parts.values() for tensor in part.values())
    try:
        with files.replacing(final) as beside:
            beside.mkdir()
            for name, tensors in parts.items():
                tensor_files.save(tensors, beside / name)
            content = {**state, "files": {name: files.sha256(beside / name) for name in parts}}
            (beside / STATE).write_text(json.dumps(content | {"seal": _seal(content)}, indent=1))
    except (OSError, SafetensorError) as error:
        free = _free(final.parent) / 2**20
        note = f"it needs {needed / 2**20:.1f} MiB, {free:.1f} MiB are free there; earlier checkpoints are whole"
        raise unwritable(final, error, note) from error


def _checked(path: Path) -> Progress:
    return json_files.shaped(_unsealed(path), CheckpointError, Progress)


def _unsealed(path: Path) -> dict[str, Any]:
    """A checkpoint's state, after its seal and the hashes of its files were found right."""
    content = json_files.read(path / STATE, CheckpointError, dict[str, Any])
    if content.pop("seal") != _seal(content):
        raise ValueError(f"{STATE} does not match its seal")
    for name, sha256 in json_files.shaped(content.pop("files"), CheckpointError, dict[str, str]).items():
        if name not in (WEIGHTS, OPTIMIZER, AVERAGE, CRITIC):
            raise ValueError(f"{STATE} names the file {shown(name)}, which no checkpoint has")
        if files.sha256(path / name) != sha256:
            raise ValueError(f"{name} does not match its hash")
    return content


def _steps(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"), reverse=True)


def _seal(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _free(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free

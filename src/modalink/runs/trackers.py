"""Where the numbers of a run go beside its own files: TensorBoard, Weights & Biases, MLflow, trackio.

Each is written by its own library, and reads its own environment variables (server, key, project). A stage is a run of
the tracker, which goes on when the stage does.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from modalink import files
from modalink.errors import MissingExtraError, TrainingError, UnknownNameError

PROJECT = "modalink"
"""The project that runs belong to, where a tracker's own variables name none."""


@runtime_checkable
class Tracker(Protocol):
    """What takes the numbers of one stage."""

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Take the numbers of a step."""

    def close(self) -> None:
        """Write what is not written yet."""


def chosen(names: Sequence[str] | None) -> tuple[str, ...]:
    """The trackers to write to: those that are named, else TensorBoard where it is installed.

    Raises:
        UnknownNameError: There is no such tracker.
        MissingExtraError: A tracker's library is not installed.
    """
    if names is None:
        return ("tensorboard",) if find_spec("tensorboard") else ()
    for name in names:
        if name not in _KINDS:
            raise UnknownNameError("tracker", name, _KINDS, "track")
        if find_spec(name) is None:
            raise MissingExtraError(f"track={name}", name, _KINDS[name].extra)
    return tuple(dict.fromkeys(names))


def where(names: Sequence[str], run: Path) -> list[str]:
    """What a user is told: where each tracker shows a run's curves."""
    return [f"curves: {_KINDS[name].where.format(run=run, project=PROJECT)}" for name in names]


def opened(names: Sequence[str], folder: Path, first_step: int) -> list[Tracker]:
    """The trackers of a stage.

    Args:
        names: The trackers, as `chosen` gives them.
        folder: The stage's folder, in the run's.
        first_step: The step it starts at: what a tracker has from there on is written again.

    Raises:
        TrainingError: A tracker cannot be opened.
    """
    trackers = []
    for name in names:
        try:
            trackers.append(_KINDS[name].open(folder, first_step))
        except Exception as error:  # whatever its library and network raise
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise TrainingError(f"track={name}: cannot be opened ({first}); mend that, or leave it out") from error
    return trackers


class _TensorBoard:
    def __init__(self, folder: Path, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step)
        # Its thread hands what goes wrong to the next call here, and would print a traceback besides.
        worker: Any = self.writer._get_file_writer().event_writer._async_writer._worker
        worker._invoke_excepthook = lambda thread: None

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        self.writer.close()


class _WeightsAndBiases:
    """Without a key it is written offline: the library would ask for one on the terminal."""

    def __init__(self, folder: Path, first_step: int) -> None:
        import wandb

        os.environ.setdefault("WANDB_SILENT", "true")
        mode = None if os.environ.get("WANDB_MODE") or wandb.login(prompt=False) else "offline"
        project = None if os.environ.get("WANDB_PROJECT") else PROJECT
        named = {"name": _name(folder), "group": folder.parent.name, "id": _known(folder, "wandb"), "project": project}
        self.run = wandb.init(**named, resume="allow", dir=folder, mode=mode, reinit="create_new")
        _keep(folder, "wandb", self.run.id)

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        self.run.log(dict(numbers), step=step)

    def close(self) -> None:
        self.run.finish()


class _MLflow:
    def __init__(self, folder: Path, first_step: int) -> None:
        import mlflow

        if not (os.environ.get("MLFLOW_EXPERIMENT_NAME") or os.environ.get("MLFLOW_EXPERIMENT_ID")):
            mlflow.set_experiment(PROJECT)
        known = _known(folder, "mlflow")
        self.run = mlflow.start_run(run_id=known, run_name=None if known else _name(folder))
        _keep(folder, "mlflow", self.run.info.run_id)

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        import mlflow

        mlflow.log_metrics(dict(numbers), step=step)

    def close(self) -> None:
        import mlflow

        mlflow.end_run()


class _Trackio:
    def __init__(self, folder: Path, first_step: int) -> None:
        import trackio

        project = os.environ.get("TRACKIO_PROJECT") or PROJECT
        with redirect_stdout(sys.stderr):  # which is for the user's own lines
            self.run = trackio.init(project, _name(folder), group=folder.parent.name, resume="allow", embed=False)

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        self.run.log(dict(numbers), step=step)

    def close(self) -> None:
        with redirect_stdout(sys.stderr):
            self.run.finish()


class _Kind(NamedTuple):
    open: Callable[[Path, int], Tracker]
    extra: str
    where: str


_KINDS: dict[str, _Kind] = {
    "tensorboard": _Kind(_TensorBoard, "track", "tensorboard --logdir {run}"),
    "wandb": _Kind(_WeightsAndBiases, "wandb", "W&B, project {project}; if offline: wandb sync {run}/*/wandb/*"),
    "mlflow": _Kind(_MLflow, "mlflow", "mlflow ui, experiment {project}"),
    "trackio": _Kind(_Trackio, "trackio", "trackio show --project {project}"),
}  # fmt: skip


def _name(folder: Path) -> str:
    return f"{folder.parent.name}-{folder.name}"


def _known(folder: Path, name: str) -> str | None:
    """The id that a tracker gave the stage when it began."""
    file = folder / f"{name}.id"
    if not file.is_file():
        return None
    # An id of other signs than these is none that a tracker gave.
    return files.content(file, TrainingError, 1000).decode("ascii", "ignore").strip() or None


def _keep(folder: Path, name: str, identity: Any) -> None:
    (folder / f"{name}.id").write_text(f"{identity}\n", encoding="utf-8")

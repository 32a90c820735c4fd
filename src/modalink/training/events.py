"""What training tells its caller while it runs; the command line draws these, tests read them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modalink.model.groups import GroupRow


@dataclass(frozen=True)
class RunStarted:
    """A run begins, or goes on where it stopped."""

    run: Path
    resumed: bool
    steps: dict[str, int] = field(default_factory=dict)
    """Steps of each stage, of those whose number is known before their data are opened."""


@dataclass(frozen=True)
class StageStarted:
    """A stage begins at `first_step` of `steps`."""

    stage: str
    first_step: int
    steps: int
    table: list[GroupRow]


@dataclass(frozen=True)
class PrecisionChosen:
    """A stage computes in `precision`, because of the seconds that a step took in each."""

    stage: str
    precision: str
    seconds: dict[str, float]
    threads: int


@dataclass(frozen=True)
class StepDone:
    """A step is done; `record` is its line in `metrics.jsonl`."""

    stage: str
    step: int
    steps: int
    record: dict[str, Any]


@dataclass(frozen=True)
class Evaluated:
    """A stage was evaluated after `step` of `steps`; `best` when its weights are kept as the best so far."""

    stage: str
    step: int
    steps: int
    numbers: dict[str, float]
    seconds: float
    best: bool


@dataclass(frozen=True)
class CheckpointSaved:
    """A checkpoint is complete on disk."""

    path: Path


@dataclass(frozen=True)
class Noted:
    """How a part is run, or what it chose by itself."""

    text: str


@dataclass(frozen=True)
class Warned:
    """Something the user should know, and that does not stop the run."""

    text: str


@dataclass(frozen=True)
class RunFinished:
    """All stages are done and the model is saved; `before` when that was so already before this start."""

    run: Path
    before: bool


Event = (
    RunStarted | PrecisionChosen | StageStarted | StepDone | Evaluated | CheckpointSaved | Noted | Warned | RunFinished
)
OnEvent = Callable[[Event], None]

"""What the files of a run folder must be, as far as they are read back; what else stands in them stays as it is."""

from typing import Annotated, Any, Literal, Required

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from modalink.kinds import Name

_open = with_config(ConfigDict(extra="allow"))


@_open
class Objective(TypedDict):
    """An objective of a stage."""

    kind: str


@_open
class KeepBest(TypedDict):
    """By which evaluation a stage keeps its best weights."""

    metric: str
    mode: Literal["min", "max"]


@_open
class Evaluate(TypedDict, total=False):
    """Evaluations inside a stage."""

    keep_best: KeepBest | None


@_open
class ReportedStage(TypedDict, total=False):
    """What a report reads of a stage's settings."""

    name: Required[Name]
    objectives: list[Objective]
    train: dict[str, Any]
    evaluate: Evaluate | None


@_open
class ReportedRecipe(TypedDict, total=False):
    """What a report reads of `recipe.yaml`, whose parts may come from packages that are not here."""

    name: Required[str]
    stages: list[ReportedStage]


@_open
class Part(TypedDict, total=False):
    """A part in a manifest."""

    part: Required[str]
    id: str | None
    kind: str | None
    sha256: str | None
    licence: str | None


@_open
class Group(TypedDict):
    """A group of parameters in a manifest."""

    group: str
    parameters: int
    trained: bool


@_open
class Lineage(TypedDict, total=False):
    """Weights of another run that a run began from."""

    sha256: Required[dict[str, str]]


@_open
class Environment(TypedDict, total=False):
    """Software and machine of a run."""

    threads: Annotated[int, Field(ge=1, le=4096)]
    processes: int
    device: str
    packages: dict[str, str]


@_open
class Manifest(TypedDict, total=False):
    """`manifest.json`."""

    parts: Required[list[Part]]
    lineage: list[Lineage]
    licence: str
    stages: dict[str, list[Group]]
    environment: Environment


@_open
class Record(TypedDict, total=False):
    """A line of `metrics.jsonl`: a step or an evaluation."""

    step: Required[int]
    losses: dict[str, float]
    lr: dict[str, float]
    evaluation: dict[str, float]
    seconds: float
    samples: int


@_open
class ShownReply(TypedDict):
    """A reply that a stage has drawn."""

    text: str
    reward: float | None


@_open
class RepliesLine(TypedDict):
    """A line of `replies.jsonl`: a prompt with replies to it."""

    step: int
    question: str
    replies: list[ShownReply]


@_open
class LedgerLine(TypedDict, total=False):
    """A line of `ledger.jsonl`."""

    reason: str

"""Evaluation inside a stage, as a recipe describes it."""

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from modalink.errors import RecipeError
from modalink.kinds import Settings
from modalink.recipe.kind_field import Kinds
from modalink.scoring import registry

# The classes of these live in a room above this one.
SOURCES = Kinds("modalink.data.sources", key="source")
DataSource = Annotated[Any, SOURCES]


class BenchmarkChoice(Settings):
    """A benchmark that a stage is put to."""

    name: str
    """Its name, as `modalink score list` prints it."""
    data: str | None = None
    """Folder with its official files and media; None where it makes its questions itself."""
    split: str = ""
    """Which split, where there are several; choose a checkpoint by one that the final numbers do not come from."""
    limit: PositiveInt | None = None
    """Only the first questions."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Its options, by name."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        return registry.load(name)[0]


class KeepBest(Settings):
    """By what the best checkpoint of a stage is chosen."""

    metric: str
    """A number of the evaluation: `loss`, `losses.OBJECTIVE`, or `BENCHMARK.NUMBER`, for example `pope.score`."""
    mode: Literal["min", "max"]
    """Whether the least or the greatest is best; of equal ones the first."""


class Evaluation(Settings):
    """What a stage is measured by while it learns; what it learns stays the same."""

    every: PositiveInt
    """Steps between evaluations; the last step always makes one."""
    data: list[DataSource] = Field(default_factory=list)
    """Conversations whose loss is taken, mixed by their sizes; without them there is no validation loss."""
    samples: PositiveInt = 256
    """How many of them, the same each time; at most one pass over the data."""
    benchmarks: list[BenchmarkChoice] = Field(default_factory=list)
    """Benchmarks that the system answers, on one process."""
    keep_best: KeepBest | None = None
    """Keeps the weights of the best evaluation, beside the newest checkpoints; None keeps none."""

    @model_validator(mode="after")
    def _something_to_measure(self) -> "Evaluation":
        if not self.data and not self.benchmarks:
            raise RecipeError("found neither data nor benchmarks, needed at least one to evaluate on")
        names = [benchmark.name for benchmark in self.benchmarks]
        if twice := [name for name in names if names.count(name) > 1]:
            raise RecipeError(f"found the benchmark {twice[0]} twice, needed each once: its numbers have its name")
        return self

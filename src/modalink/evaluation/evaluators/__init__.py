"""Benchmarks that evaluate a system by themselves, one file each, named after the benchmark.

Most benchmarks need none: their questions are asked and the replies are scored. One that makes its own inputs, or reads
more than replies, brings an `Evaluator`. Another package adds one by an entry point, named as its benchmark:

    [project.entry-points."modalink.evaluation.evaluators"]
    sketches = "my_package.sketches:EVALUATOR"
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from modalink.errors import RecipeError
from modalink.kinds import Settings, kinds
from modalink.model import System
from modalink.scoring.measures import Measure

PACKAGE = __name__

OnTask = Callable[[str], None]
"""Hears the name of each task when it begins."""


@runtime_checkable
class Results(Protocol):
    """What a system reached."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the run folder; `examples`, if there are any, are cases to look at."""

    def tables(self) -> Mapping[str, list[Measure]]:
        """Title -> the numbers to show, each with its baselines."""


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """A benchmark's own way to evaluate a system."""

    options: type[Settings]
    """What a user may choose; with `split` and `limit` the command line's own options reach it too."""
    evaluate: Callable[[System, Any, OnTask], Results]
    """From the system, the options and a listener to results."""


def evaluator_of(benchmark: str) -> Evaluator | None:
    """The evaluator that a benchmark brings, None where its questions are asked as all others are.

    Raises:
        RecipeError: A plug-in offers something else under this name.
    """
    if benchmark not in kinds(PACKAGE):
        return None
    module, _, attribute = kinds(PACKAGE)[benchmark].partition(":")
    evaluator = getattr(importlib.import_module(module), attribute or "EVALUATOR", None)
    if not isinstance(evaluator, Evaluator):
        raise RecipeError(
            f"evaluator of {benchmark}: found {type(evaluator).__name__} in {module}, needed an Evaluator"
        )
    return evaluator

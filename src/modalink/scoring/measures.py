"""Numbers with their error bars and baselines, read out of the tree of results that an evaluation writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Baseline:
    """A value to compare with."""

    name: str
    value: float


@dataclass(frozen=True)
class Measure:
    """One share of right ones, 0 to 1, with its error bar, and what to compare it with."""

    name: str
    value: float
    low: float
    high: float
    count: int
    what: str = ""
    baselines: Sequence[Baseline] = ()


class Wanted(NamedTuple):
    """What a measure is called, and its baselines."""

    name: str
    what: str = ""
    baselines: Mapping[str, str] = {}
    """Path in the results -> name of the baseline."""


def read_measures(results: Mapping[str, Any], wanted: Mapping[str, Wanted]) -> list[Measure]:
    """Those of the wanted numbers, by dotted path, that the results hold."""
    measures = []
    for path, (name, what, baselines) in wanted.items():
        value = look_up(results, path)
        if value is not None:
            low, high = look_up(results, f"intervals.{path}") or (value, value)
            beside = [Baseline(text, v) for p, text in baselines.items() if (v := look_up(results, p)) is not None]
            measures.append(Measure(name, value, low, high, look_up(results, f"counts.{path}") or 0, what, beside))
    return measures


def look_up(tree: Any, path: str) -> Any:
    """A value by dotted path, None where there is none."""
    for key in path.split("."):
        if not isinstance(tree, Mapping) or key not in tree:
            return None
        tree = tree[key]
    return tree

"""Trees of JSON data with one thing changed: what tests of damaged input have in common."""

import copy
import operator
from collections.abc import Iterable, Iterator
from functools import reduce
from typing import Any

Place = tuple[Any, ...]
"""Keys and indices that lead to a value; none lead to the root."""


def places(tree: Any, levels: int = 13) -> list[Place]:
    """All places below the root, holders before what they hold; what lies deeper than so many levels is left out."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    found: list[Place] = []
    for key, value in inner:
        found.append((key,))
        if levels > 1:
            found += [(key, *deeper) for deeper in places(value, levels - 1)]
    return found


def holder(tree: Any, place: Place) -> Any:
    """The list or mapping that holds the value at a place."""
    return reduce(operator.getitem, place[:-1], tree)


def with_value(tree: Any, place: Place, value: Any) -> Any:
    """A copy with another value at a place."""
    if not place:
        return value
    tree = copy.deepcopy(tree)
    holder(tree, place)[place[-1]] = value
    return tree


def without(tree: Any, place: Place) -> Any:
    """A copy without the value at a place and its key."""
    tree = copy.deepcopy(tree)
    del holder(tree, place)[place[-1]]
    return tree


def mutants(tree: Any, values: Iterable[Any]) -> Iterator[Any]:
    """Copies with each of the values at each place, and without each place."""
    for place in places(tree):
        yield from (with_value(tree, place, value) for value in values)
        yield without(tree, place)

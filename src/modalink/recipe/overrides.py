"""`stages.0.batch=8` on the command line: a dotted path and a YAML value, laid over a recipe's data."""

import copy
from collections.abc import Sequence
from typing import Any

from modalink import yaml_files
from modalink.errors import RecipeError, shown
from modalink.recipe.merging import supersede
from modalink.recipe.paths import split, step_into
from modalink.yaml_files import Document, Loc, dotted


def override(document: Document, overrides: Sequence[str]) -> Document:
    """Lay overrides over a document, in order.

    A path may name a key that the document leaves to its default; whether the key exists is the schema's to say.
    Naming another `kind` (or `source`) empties the mapping around it, since its settings belong to another class.

    Args:
        document: A recipe's data.
        overrides: Texts `PATH=VALUE`.

    Raises:
        RecipeError: A text is no override, or its path leads nowhere.
    """
    document = Document(copy.deepcopy(document.data), dict(document.places))
    data = document.data
    for text in overrides:
        path, equals, value = text.partition("=")
        if not equals or not path.strip():
            raise RecipeError(f"{shown(text)} is no override: needed PATH=VALUE, for example stages.0.batch=8")
        place = f"override {shown(text)}"
        loc = put(document, path.strip(), Document(yaml_files.parse(value, place, RecipeError).data), place)
        if isinstance(data, dict) and "provenance" in data:
            data["provenance"] = supersede(data["provenance"], [dotted(loc)], f"assumed: {place}")
    return document


def put(document: Document, path: str, value: Document, place: str) -> Loc:
    """Set the value at a dotted path of a document, in place.

    Args:
        document: A recipe's data.
        path: Where; the last key may be absent there.
        value: What is set, with the places where it was written.
        place: Where the change itself was written.

    Returns:
        The path, with keys spelt as the data spell them.

    Raises:
        RecipeError: The path leads nowhere.
    """
    loc = _set(document.data, split(path), value.data, place)
    for old in [p for p in document.places if p[: len(loc)] == loc]:
        del document.places[old]
    for n in range(len(loc)):
        document.places.setdefault(loc[: n + 1], place)
    document.places.update({(*loc, *inner): written for inner, written in value.places.items() if inner})
    return loc


def _set(data: Any, loc: Loc, value: Any, place: str) -> Loc:
    """Set a value in place; returns its path with keys spelt as the data spell them."""
    done: Loc = ()
    try:
        for step in loc[:-1]:
            if isinstance(data, dict) and data.get(step) is None:
                data[step] = {}
            data = step_into(data, step, done)
            done = (*done, step)
        if not isinstance(data, dict):
            step_into(data, loc[-1], done)
    except RecipeError as error:
        raise RecipeError(f"{place}: {error}") from None
    if loc[-1] in ("kind", "source") and isinstance(data, dict) and data.get(loc[-1]) != value:
        data.clear()
    data[loc[-1]] = value
    return loc

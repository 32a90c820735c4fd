"""The sizes and variants of one system: what a recipe file keeps under `presets`, laid over the rest of it.

A key without dots merges as `extends` does. A key with dots is an override as on the command line: what stands there
is replaced, also where it is a mapping. The first preset is what the recipe's bare name means.
"""

import copy
from typing import Any

from modalink.errors import RecipeError, UnknownNameError, shown
from modalink.recipe.merging import changed_leaves, inside, merge
from modalink.recipe.overrides import put
from modalink.yaml_files import Document, Loc, dotted

KEY = "presets"
UNCHANGED = (KEY, "name", "extends")
"""What a preset cannot set."""


def preset_names(data: Any) -> list[str]:
    """The presets of a recipe file's data, the default first; none where it has none, or they are no mapping."""
    found = data.get(KEY) if isinstance(data, dict) else None
    return [*map(str, found)] if isinstance(found, dict) else []


def with_preset(document: Document, preset: str | None) -> Document:
    """Lay one preset over the recipe that holds it.

    Provenance speaks of the recipe beneath: entries for what the preset changes go, and those of the preset come in.

    Args:
        document: A recipe file's data; with presets or without.
        preset: Its name; None takes the first, where there are some.

    Returns:
        A recipe without presets, called `NAME-PRESET`.

    Raises:
        RecipeError: There is no such preset, or it cannot be laid over the recipe.
    """
    file = document.place(()).partition(",")[0]
    if KEY not in document.data:
        if preset is not None:
            raise RecipeError(f"{file}: found no presets, needed one called {shown(preset)}: name the recipe alone")
        return document
    _check(document)
    known = {str(name): name for name in document.data[KEY]}
    preset = next(iter(known)) if preset is None else preset
    if preset not in known:
        raise UnknownNameError("preset", preset, known, file)
    changes = _inner(document, (KEY, known[preset]))
    changes = Document({}, changes.places) if changes.data is None else changes
    if not isinstance(changes.data, dict):
        place = document.place((KEY, known[preset]))
        raise RecipeError(f"{place}, presets.{preset}: found {shown(changes.data)}, needed a mapping (`key: value`)")
    base = Document({k: v for k, v in document.data.items() if k != KEY}, document.places)
    laid = _laid(base, changes)
    if isinstance(name := laid.data.get("name"), str):
        laid.data["name"] = f"{name}-{preset}"
    return laid


def _check(document: Document) -> None:
    found = document.data[KEY]
    if not isinstance(found, dict) or not found:
        place = document.place((KEY,))
        raise RecipeError(f"{place}, presets: found {shown(found)}, needed a mapping from names to what they change")


def _laid(base: Document, changes: Document) -> Document:
    merged = {k: v for k, v in changes.data.items() if "." not in str(k)}
    for key in UNCHANGED:
        if key in merged:
            raise RecipeError(f"{changes.place((key,))}: a preset cannot set {key!r}")
    told = merged.pop("provenance", None)
    changed = changed_leaves(base.data, merged)
    found = merge(base, Document(merged, changes.places))
    found = Document(copy.deepcopy(found.data), found.places)
    for key in changes.data:
        if "." in str(key):
            place = changes.place((key,))
            changed.append(dotted(put(found, str(key), _inner(changes, (key,)), place)))
    found.data["provenance"] = _sources(found.data.get("provenance") or {}, changed, told)
    return found


def _sources(below: Any, changed: list[str], told: Any) -> Any:
    if not isinstance(below, dict) or not isinstance(told, dict | None):
        return told or below  # for the schema to refuse
    return {path: source for path, source in below.items() if not any(inside(str(path), c) for c in changed)} | (
        told or {}
    )


def _inner(document: Document, loc: Loc) -> Document:
    """What stands at a path, as a document of its own."""
    data = document.data
    for step in loc:
        data = data[step]
    places = {path[len(loc) :]: place for path, place in document.places.items() if path[: len(loc)] == loc}
    return Document(data, places)

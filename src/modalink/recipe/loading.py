"""From a file, or the name of a shipped recipe, to a checked `Recipe`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from modalink import files, yaml_files
from modalink.errors import RecipeError, shown
from modalink.recipe.errors import problems
from modalink.recipe.finding import Address, find
from modalink.recipe.merging import changed_leaves, merge, supersede
from modalink.recipe.overrides import override
from modalink.recipe.presets import with_preset
from modalink.recipe.schema import Recipe
from modalink.recipe.tiny import tiny_form
from modalink.recipe.upgrade import upgraded
from modalink.yaml_files import Document, dotted

_Model = TypeVar("_Model", bound=BaseModel)


def load(reference: str | Path, overrides: Sequence[str] = (), *, tiny: bool = False) -> Recipe:
    """Read and check a recipe.

    Args:
        reference: A YAML file, the name of a shipped recipe, or a run folder of this or an earlier modalink; with a
            preset as for `find`.
        overrides: `PATH=VALUE` texts, for example `stages.0.batch=8`, laid over it in order.
        tiny: Swap every part for the same architecture at tiny size, before the overrides.

    Raises:
        RecipeError: The file cannot be read or does not describe a system; the message names each place.
    """
    address = find(reference)
    document = _extended(address, ())
    if files.named(reference, RecipeError).is_dir():
        document = Document(upgraded(document.data), document.places)
    if tiny:
        document = Document(tiny_form(checked(Recipe, document)), {(): f"tiny form of {address.file.name}"})
    return checked(Recipe, override(document, overrides))


def as_data(reference: str | Path) -> dict[str, Any]:
    """A recipe as plain data, unchecked and without defaults: `extends` and its preset are laid over each other.

    Raises:
        RecipeError: The file cannot be read.
    """
    found: dict[str, Any] = _extended(find(reference), ()).data
    return found


def _extended(address: Address, above: tuple[Path, ...]) -> Document:
    """The data of a file, laid over what it extends, and its preset over both."""
    file = address.file.resolve()
    if file in above:
        circle = " -> ".join(f.name for f in (*above[above.index(file) :], file))
        raise RecipeError(f"{file.name}: `extends` goes round in a circle: {circle}")
    document = yaml_files.read(file, RecipeError, name=file.name)
    if document.data is None:
        raise RecipeError(f"{file.name}: the file is empty, needed a recipe")
    if not isinstance(document.data, dict):
        raise RecipeError(f"{document.place(())}: found {shown(document.data)}, needed a mapping (`key: value`)")
    if "extends" not in document.data:
        return with_preset(document, address.preset)
    base = _extended(_base_of(file, document), (*above, file))
    del document.data["extends"]
    changed = changed_leaves(base.data, {k: v for k, v in document.data.items() if k != "provenance"})
    base.data["provenance"] = supersede(base.data.get("provenance", {}), changed, f"assumed: set in {file.name}")
    return with_preset(merge(base, document), address.preset)


def _base_of(file: Path, document: Document) -> Address:
    reference = document.data["extends"]
    if not isinstance(reference, str):
        raise RecipeError(f"{document.place(('extends',))}, extends: found {shown(reference)}, needed a name or a file")
    try:
        beside = files.named(file.parent / reference, RecipeError)
        if beside.is_file():
            return Address(beside)
        name, colon, preset = reference.rpartition(":")
        if colon and (inner := file.parent / name).is_file():
            return Address(inner, preset)
        return find(reference)
    except RecipeError as error:
        raise RecipeError(f"{document.place(('extends',))}, extends: {error}") from None


def changed(recipe: dict[str, Any], overrides: Sequence[str], name: str) -> Recipe:
    """A recipe from its plain data, with overrides laid over it.

    Args:
        recipe: The data, complete, as `Recipe.to_dict` gives them.
        overrides: `PATH=VALUE` texts, laid over it in order.
        name: What errors call it.

    Raises:
        RecipeError: It does not describe a system; the message names each place.
    """
    return checked(Recipe, override(Document(recipe, {(): name}), overrides))


def checked(model: type[_Model], document: Document) -> _Model:
    """What data describe.

    Raises:
        RecipeError: They do not fit; the message names each place.
    """
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        lines = []
        for loc, text in problems(model, error):
            place = document.place(loc)
            lines.append(", ".join(part for part in (place, dotted(loc)) if part) + f": {text}")
    head = f"{document.place(()).partition(',')[0]}: {len(lines)} problems\n  " if len(lines) > 1 else ""
    raise RecipeError(head + "\n  ".join(lines))

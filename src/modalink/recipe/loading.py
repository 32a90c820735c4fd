"""From a file, or the name of a shipped recipe, to a checked `Recipe`."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from modalink import files, yaml_files
from modalink.errors import RecipeError, UnknownNameError, shown
from modalink.recipe.errors import problems
from modalink.recipe.merging import changed_leaves, merge, supersede
from modalink.recipe.overrides import override
from modalink.recipe.schema import Recipe
from modalink.recipe.tiny import tiny_form
from modalink.recipe.upgrade import upgraded
from modalink.yaml_files import Document, dotted

_SUFFIXES = (".yaml", ".yml")


def shipped() -> dict[str, Path]:
    """The recipes that come with modalink: name -> file."""
    folder = Path(str(resources.files("modalink") / "recipes"))
    return {file.stem: file for file in sorted(folder.glob("*.yaml"), key=lambda file: file.stem)}


def load(reference: str | Path, overrides: Sequence[str] = (), *, tiny: bool = False) -> Recipe:
    """Read and check a recipe.

    Args:
        reference: A YAML file, the name of a shipped recipe, or a run folder of this or an earlier modalink.
        overrides: `PATH=VALUE` texts, for example `stages.0.batch=8`, laid over it in order.
        tiny: Swap every part for the same architecture at tiny size, before the overrides.

    Raises:
        RecipeError: The file cannot be read or does not describe a system; the message names each place.
    """
    file = find(reference)
    document = _extended(file, ())
    if files.named(reference, RecipeError).is_dir():
        document = Document(upgraded(document.data), document.places)
    if tiny:
        document = Document(tiny_form(_checked(document)), {(): f"tiny form of {file.name}"})
    return _checked(override(document, overrides))


def find(reference: str | Path) -> Path:
    """The file of a recipe.

    Raises:
        UnknownNameError: There is no such file, and no shipped recipe has that name.
    """
    path = files.named(reference, RecipeError)
    known = shipped()
    if path.is_file():
        return path
    if str(reference) in known:
        return known[str(reference)]
    if path.is_dir() and (path / "recipe.yaml").is_file():
        return path / "recipe.yaml"
    if path.suffix in _SUFFIXES and path.stem not in known:
        raise RecipeError(f"{path}: there is no such file; shipped recipes are {', '.join(known)}")
    raise UnknownNameError("recipe", str(reference), known)


def _extended(file: Path, above: tuple[Path, ...]) -> Document:
    """The data of a file, laid over what it extends."""
    file = file.resolve()
    if file in above:
        circle = " -> ".join(f.name for f in (*above[above.index(file) :], file))
        raise RecipeError(f"{file.name}: `extends` goes round in a circle: {circle}")
    document = yaml_files.read(file, RecipeError, name=file.name)
    if document.data is None:
        raise RecipeError(f"{file.name}: the file is empty, needed a recipe")
    if not isinstance(document.data, dict):
        raise RecipeError(f"{document.place(())}: found {shown(document.data)}, needed a mapping (`key: value`)")
    if "extends" not in document.data:
        return document
    base = _extended(_base_of(file, document), (*above, file))
    del document.data["extends"]
    changed = changed_leaves(base.data, {k: v for k, v in document.data.items() if k != "provenance"})
    base.data["provenance"] = supersede(base.data.get("provenance", {}), changed, f"assumed: set in {file.name}")
    return merge(base, document)


def _base_of(file: Path, document: Document) -> Path:
    reference = document.data["extends"]
    if not isinstance(reference, str):
        raise RecipeError(f"{document.place(('extends',))}, extends: found {shown(reference)}, needed a name or a file")
    try:
        beside = files.named(file.parent / reference, RecipeError)
        return beside if beside.is_file() else find(reference)
    except RecipeError as error:
        raise RecipeError(f"{document.place(('extends',))}, extends: {error}") from None


def _checked(document: Document) -> Recipe:
    try:
        return Recipe.model_validate(document.data)
    except ValidationError as error:
        lines = []
        for loc, text in problems(Recipe, error):
            place = document.place(loc)
            lines.append(", ".join(part for part in (place, dotted(loc)) if part) + f": {text}")
    head = f"{document.place(()).partition(',')[0]}: {len(lines)} problems\n  " if len(lines) > 1 else ""
    raise RecipeError(head + "\n  ".join(lines))

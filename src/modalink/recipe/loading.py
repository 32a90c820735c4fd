"""From a file, or the name of a shipped recipe, to a checked `Recipe`."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from modalink.errors import RecipeError, UnknownNameError
from modalink.recipe.errors import dotted, problems
from modalink.recipe.merging import changed_leaves, merge, supersede
from modalink.recipe.overrides import override
from modalink.recipe.schema import Recipe
from modalink.recipe.tiny import tiny_form
from modalink.recipe.upgrade import upgraded
from modalink.recipe.yaml_lines import Document, read

_SUFFIXES = (".yaml", ".yml")


def shipped() -> dict[str, Path]:
    """The recipes that come with modalink: name -> file."""
    folder = Path(str(files("modalink") / "recipes"))
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
    if Path(reference).expanduser().is_dir():
        document = Document(upgraded(document.data), document.places)
    if tiny:
        document = Document(tiny_form(_checked(document)), {(): f"tiny form of {file.name}"})
    return _checked(override(document, overrides))


def find(reference: str | Path) -> Path:
    """The file of a recipe.

    Raises:
        UnknownNameError: There is no such file, and no shipped recipe has that name.
    """
    path = Path(reference).expanduser()
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
    document = read(_text(file), file.name)
    if document.data is None:
        raise RecipeError(f"{file.name}: the file is empty, needed a recipe")
    if not isinstance(document.data, dict):
        raise RecipeError(f"{document.place(())}: found {document.data!r:.60}, needed a mapping (`key: value`)")
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
        raise RecipeError(f"{document.place(('extends',))}, extends: found {reference!r:.60}, needed a name or a file")
    beside = file.parent / reference
    try:
        return beside if beside.is_file() else find(reference)
    except RecipeError as error:
        raise RecipeError(f"{document.place(('extends',))}, extends: {error}") from None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{file.name}: byte {error.start} is not UTF-8; needed a YAML file") from None
    except OSError as error:
        raise RecipeError(f"{file}: cannot be read: {error.strerror}") from None


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

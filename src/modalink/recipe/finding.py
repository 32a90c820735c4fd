"""Where a recipe is: the files that ship, files of one's own, run folders, and a preset of any of them."""

from importlib import resources
from pathlib import Path
from typing import NamedTuple

from modalink import files, yaml_files
from modalink.errors import RecipeError, UnknownNameError
from modalink.recipe.presets import preset_names

_SUFFIXES = (".yaml", ".yml")


class Address(NamedTuple):
    """Where a recipe is."""

    file: Path
    """The file that holds it."""
    preset: str | None = None
    """Which of its presets; None takes the first, where there are some."""


def shipped() -> dict[str, Path]:
    """The systems that come with modalink: name -> file."""
    folder = Path(str(resources.files("modalink") / "recipes"))
    return {file.stem: file for file in sorted(folder.glob("*.yaml"), key=lambda file: file.stem)}


def presets(file: Path) -> list[str]:
    """The presets of a recipe file, the default first; none where it has none.

    Raises:
        RecipeError: The file cannot be read.
    """
    return preset_names(yaml_files.read(file, RecipeError, name=file.name).data)


def recipe_names() -> dict[str, Address]:
    """What `load` can be asked for by name: shipped systems that have no presets, and each preset of the others."""
    found: dict[str, Address] = {}
    for system, file in shipped().items():
        sizes = {f"{system}-{preset}": Address(file, preset) for preset in presets(file)}
        found |= sizes or {system: Address(file)}
    return found


def find(reference: str | Path) -> Address:
    """The file and preset that a reference names.

    Args:
        reference: A YAML file, a run folder, or the name of a shipped system, and behind a colon a preset:
            `my.yaml:13b`. Of a shipped system it may also stand behind a dash: `llava-1.5-13b`.

    Raises:
        UnknownNameError: There is no such file, and nothing that ships has that name.
    """
    if (file := _file(reference)) is not None:
        return Address(file)
    text, known = str(reference), shipped()
    base, _, preset = text.rpartition(":")
    if base and preset and (file := _file(base)) is not None:
        return Address(file, preset)
    for system in sorted((s for s in known if text.startswith(f"{s}-")), key=len, reverse=True):
        if (preset := text.removeprefix(f"{system}-")) in (names := presets(known[system])):
            return Address(known[system], preset)
        if names:
            raise UnknownNameError(f"preset of {system}", preset, names)
    path = Path(base or text)
    if path.suffix in _SUFFIXES and path.stem not in known:
        raise RecipeError(f"{path}: there is no such file; shipped recipes are {', '.join(known)}")
    raise UnknownNameError("recipe", text, known)


def _file(reference: str | Path) -> Path | None:
    """The file that a reference without a preset names."""
    path = files.named(reference, RecipeError)
    if path.is_file():
        return path
    if (known := shipped().get(str(reference))) is not None:
        return known
    inner = path / "recipe.yaml"
    return inner if path.is_dir() and inner.is_file() else None

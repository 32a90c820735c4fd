"""`modalink recipes`: what ships."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml

from modalink import yaml_files
from modalink.errors import RecipeError
from modalink.recipe import as_data, find, json_schema, presets, shipped


def recipes(
    name: Annotated[str | None, typer.Argument(help="A recipe to show, or `schema`.")] = None,
) -> None:
    """List the recipes that ship, show one, or print the JSON schema.

    \b
    modalink recipes                             what ships
    modalink recipes llava-1.5 > my.yaml         a recipe to start from, with all its presets
    modalink recipes llava-1.5-13b > my.yaml     one of its presets
    modalink recipes schema > recipe.schema.json
        for editors; begin a recipe with `# yaml-language-server: $schema=recipe.schema.json`
    """
    if name is None:
        for known, file in shipped().items():
            names = presets(file)
            print(f"{known:24}{summary(file)}" + (f" [{', '.join(names)}]" if names else ""))
    elif name == "schema":
        print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    else:
        sys.stdout.write(as_yaml(name))


def as_yaml(name: str) -> str:
    """A recipe as it is written, or, of a preset that is named, what it comes to."""
    address = find(name)
    if address.preset is None:
        return yaml_files.written(address.file, RecipeError)
    data = yaml.safe_dump(as_data(name), sort_keys=False, allow_unicode=True, width=120)
    return f"# {summary(address.file)}\n{data}"


def summary(file: Path) -> str:
    """What a recipe says of itself: the first line of its opening comment."""
    first = file.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""

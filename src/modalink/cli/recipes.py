"""`modalink recipes`: what ships."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from modalink import yaml_files
from modalink.errors import RecipeError
from modalink.recipe import find, json_schema, shipped


def recipes(
    name: Annotated[str | None, typer.Argument(help="A recipe to show, or `schema`.")] = None,
) -> None:
    """List the recipes that ship, show one, or print the JSON schema.

    \b
    modalink recipes                             what ships
    modalink recipes llava-1.5-7b > my.yaml      a recipe to start from
    modalink recipes schema > recipe.schema.json
        for editors; begin a recipe with `# yaml-language-server: $schema=recipe.schema.json`
    """
    if name is None:
        for known, file in shipped().items():
            print(f"{known:24}{summary(file)}")
    elif name == "schema":
        print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    else:
        sys.stdout.write(yaml_files.written(find(name), RecipeError))


def summary(file: Path) -> str:
    """What a recipe says of itself: the first line of its opening comment."""
    first = file.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""

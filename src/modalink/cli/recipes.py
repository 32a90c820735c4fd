"""`modalink recipes`: what ships."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from modalink import yaml_files
from modalink.cli import showing
from modalink.errors import OptionError, RecipeError
from modalink.recipe import as_data, find, json_schema, load, presets, shipped


def recipes(
    name: Annotated[str | None, typer.Argument(help="A recipe to show, or `schema`.")] = None,
    *,
    as_yaml: Annotated[bool, typer.Option("--yaml", help="The recipe as YAML; so it is, too, when piped.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The list, or a complete recipe, as JSON.")] = False,
) -> None:
    """List the recipes that ship, show one, or print the JSON schema.

    On a terminal a recipe is shown with where each value comes from; elsewhere, as into a file, it is YAML.

    \b
    modalink recipes                             what ships
    modalink recipes llava-1.5                   one of them, with its sources
    modalink recipes llava-1.5 > my.yaml         a recipe to start from, with all its presets
    modalink recipes llava-1.5-13b > my.yaml     one of its presets
    modalink recipes schema > recipe.schema.json
        for editors; begin a recipe with `# yaml-language-server: $schema=recipe.schema.json`
    """
    if as_yaml and as_json:
        raise OptionError("found --yaml and --json, needed at most one of the two")
    if name is None:
        print(json.dumps(_list(), indent=2, ensure_ascii=False) if as_json else _table())
    elif name == "schema":
        print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    elif as_json:
        print(json.dumps(load(name).to_dict(), indent=2, ensure_ascii=False))
    elif as_yaml or not sys.stdout.isatty():
        sys.stdout.write(in_yaml(name))
    else:
        sys.stdout.write(for_people(name))


def _list() -> list[dict[str, Any]]:
    return [{"name": name, "presets": presets(file), "about": summary(file)} for name, file in shipped().items()]


def _table() -> str:
    rows = _list()
    width = max(len(row["name"]) for row in rows) + 2
    lines = []
    for row in rows:
        lines.append(f"{row['name']:{width}}{row['about']}")
        if row["presets"]:
            lines.append(f"{'':{width}}presets: {', '.join(row['presets'])}")
    return "\n".join(lines)


def for_people(name: str) -> str:
    """A recipe that can be read, each value with its source."""
    file = find(name)
    text = yaml_files.written(file.file, RecipeError)
    return showing.page(load(name), as_data(name), showing.about(text))


def in_yaml(name: str) -> str:
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

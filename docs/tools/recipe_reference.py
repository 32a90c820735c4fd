"""The reference of recipes, written from their JSON schema: a section for each mapping, a row for each field."""

import math
from collections.abc import Iterator
from typing import Any

import yaml

from modalink.recipe import json_schema

_HEAD = """# Recipe reference

Every field of a recipe, from its JSON schema (`modalink recipes schema`). What is not required may be left out.
"""


def recipe_reference() -> str:
    """The page, as Markdown."""
    schema = json_schema()
    definitions = schema["$defs"]
    pages = {"Recipe": schema["else"] | {"title": "Recipe"}}
    for found in _mappings(pages["Recipe"], definitions):
        pages.setdefault(found["title"], found)
    return "\n".join([_HEAD, *(_section(page, definitions) for page in pages.values())])


def _mappings(schema: Any, definitions: dict[str, Any], seen: frozenset[str] = frozenset()) -> Iterator[dict[str, Any]]:
    """All mappings with fields of their own below a schema, in reading order."""
    if isinstance(schema, list):
        for item in schema:
            yield from _mappings(item, definitions, seen)
    if not isinstance(schema, dict):
        return
    if (name := _name(schema)) in definitions and name not in seen:
        yield from _mappings(definitions[name], definitions, seen | {name})
    if "properties" in schema and "title" in schema:
        yield schema
        yield from _mappings(list(schema["properties"].values()), definitions, seen)
    else:
        yield from _mappings(list(schema.values()), definitions, seen)


def _section(page: dict[str, Any], definitions: dict[str, Any]) -> str:
    fields = page["properties"]
    required = page.get("required", [])
    key = next((key for key in ("kind", "source") if "const" in fields.get(key, {})), None)
    lines = [f"## {page['title']}", "", _text(page.get("description", ""))]
    if key is not None:
        lines += ["", f"`{key}: {fields[key]['const']}`"]
    lines += ["", "| field | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in fields.items():
        if name == key:
            continue
        default = "required" if name in required else f"`{_plain(field['default'])}`" if "default" in field else ""
        row = (f"`{name}`", _type(field, definitions), default, _text(field.get("description", "")))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    return "\n".join([*lines, ""])


def _type(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    """What a field may hold, with links to the sections of mappings."""
    if (name := _name(field)) in definitions:
        return _type(definitions[name], definitions)
    if "properties" in field:
        return f"[{field['title']}](#{field['title'].lower()})"
    if choices := field.get("oneOf") or field.get("anyOf"):
        return " or ".join(dict.fromkeys(_type(choice, definitions) for choice in choices))
    if "enum" in field:
        return ", ".join(f"`{_plain(value)}`" for value in field["enum"])
    if "const" in field:
        return f"`{_plain(field['const'])}`"
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}), definitions)}"
    if field.get("type") == "object":
        values = field.get("additionalProperties") or next(iter(field.get("patternProperties", {}).values()), {})
        return f"mapping to {_type(values, definitions)}" if isinstance(values, dict) else "mapping"
    return {"null": "none", "string": "text"}.get(field.get("type", "anything"), field.get("type", "anything"))


def _name(schema: dict[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _plain(value: Any) -> str:
    """A value as YAML writes it in a line."""
    return "none" if value is None else yaml.safe_dump(value, default_flow_style=True, width=math.inf).split("\n")[0]


def _text(description: str) -> str:
    return " ".join(description.split())

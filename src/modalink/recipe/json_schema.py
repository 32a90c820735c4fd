"""The JSON schema of recipe files: editors complete and check with it as one types."""

from typing import Any

from modalink.recipe.presets import KEY, UNCHANGED
from modalink.recipe.schema import Recipe

_PRESETS = "Sizes and variants by name; the first is the default."
_PRESET = "What it changes: keys of the recipe, which merge, or dotted paths, whose values are replaced."
_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The JSON schema of recipe files, with the kinds of every room.

    A recipe that extends another may leave out any key, so for it the schema stands there once more without demands.
    """
    whole = Recipe.model_json_schema(ref_template="#/$defs/{model}")
    part = _undemanding(Recipe.model_json_schema(ref_template="#/$defs/Partial{model}"))
    part["properties"]["extends"] = {"type": "string", "description": "The recipe beneath, by name or file."}
    keys = {key: schema for key, schema in part["properties"].items() if key not in UNCHANGED}
    # Keys with dots are overrides.
    preset = (
        part
        | {"type": ["object", "null"], "patternProperties": {r"\.": {}}, "description": _PRESET}
        | {"properties": keys}
    )
    presets = {"type": "object", "minProperties": 1, "description": _PRESETS, "additionalProperties": preset}
    for schema in (whole, part):
        schema["properties"] = schema["properties"] | {KEY: presets}
    definitions = whole.pop("$defs") | {f"Partial{name}": schema for name, schema in part.pop("$defs").items()}
    return {"$schema": _DRAFT, "$defs": definitions, "if": {"required": ["extends"]}, "then": part, "else": whole}


def _undemanding(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_undemanding(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    # Without its required keys a mapping may fit several kinds.
    renamed = {("anyOf" if key == "oneOf" else key): _undemanding(value) for key, value in schema.items()}
    return {key: value for key, value in renamed.items() if key != "required" or not isinstance(value, list)}

import jsonschema
import pytest
import yaml

from modalink.recipe import json_schema, shipped


@pytest.fixture(scope="module")
def validator():
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", shipped())
def test_shipped_recipes_are_valid(validator, name):
    recipe = yaml.safe_load(shipped()[name].read_text())
    assert [error.json_path for error in validator.iter_errors(recipe)] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("inputs", "image", "encoder", "kind"), "visoin"),
        (("inputs", "image", "encoder", "layr"), -1),
        (("llm", "join"), "spliced"),
        (("llm", "join"), {"kind": "splice", "were": "prefix"}),
        (("stages", 0, "data", 0, "source"), "tinyworld"),
        (("stages", 0, "data", 0, "kind"), "tiny_world"),
        (("stages", 0, "objectives", 0, "weight"), "much"),
        (("stages", 0, "bacth"), 8),
        (("provenance",), {"name": "guessed"}),
    ],
)
def test_mistakes_are_found_while_they_are_typed(validator, path, value):
    recipe = yaml.safe_load(shipped()["demo"].read_text())
    inner = recipe
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    assert not validator.is_valid(recipe)


def test_an_llm_needs_no_kind_and_fields_say_what_they_mean(validator):
    schema = validator.schema["else"] | {"$defs": validator.schema["$defs"]}
    (llm,) = schema["properties"]["llm"]["oneOf"]
    assert "kind" not in llm["required"]
    stages = schema["properties"]["stages"]["items"]["oneOf"]
    (stage,) = [one for one in stages if "kind" not in one["required"]]
    assert stage["properties"]["batch"]["description"].startswith("Conversations a step")


@pytest.mark.parametrize("join", ["splice", {"kind": "splice"}, {"kind": "splice", "where": "prefix", "end": True}])
def test_a_join_is_a_bare_name_or_a_mapping(validator, join):
    recipe = yaml.safe_load(shipped()["demo"].read_text())
    recipe["llm"]["join"] = join
    assert validator.is_valid(recipe)

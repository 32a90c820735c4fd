import json

import yaml

from modalink.recipe import json_schema, load, shipped


def test_what_ships_is_listed_with_a_sentence(modalink):
    lines = modalink("recipes").output.splitlines()
    assert [line.split()[0] for line in lines] == list(shipped())
    assert all(len(line.split()) > 5 for line in lines)


def test_a_recipe_is_shown_as_it_is_written(modalink):
    assert yaml.safe_load(modalink("recipes", "demo").output)["name"] == "demo"
    assert modalink("recipes", "demo").output == shipped()["demo"].read_text()


def test_a_preset_is_shown_as_what_it_comes_to(modalink, tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text(modalink("recipes", "llava-1.5-7b-lora").output)
    assert load(file) == load("llava-1.5-7b-lora")
    assert "presets" not in file.read_text()


def test_what_is_no_recipe_is_not_shown(modalink, tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    result = modalink("recipes", tmp_path / "a.png")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "a.png: byte 0 is not UTF-8; needed a YAML file" in result.stderr


def test_the_schema_is_printed(modalink):
    assert json.loads(modalink("recipes", "schema").output) == json_schema()

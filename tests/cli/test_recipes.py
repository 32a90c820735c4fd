import json

import pytest
import yaml

from modalink.cli.recipes import for_people
from modalink.recipe import json_schema, load, shipped


def test_what_ships_is_listed_with_a_sentence(modalink):
    lines = modalink("recipes").output.splitlines()
    names = [line for line in lines if not line.startswith(" ")]
    assert [line.split()[0] for line in names] == list(shipped())
    assert all(len(line.split()) > 5 for line in names)
    assert any(line.strip() == "presets: 7b, 13b, 7b-lora" for line in lines)


def test_a_recipe_is_shown_as_it_is_written(modalink):
    assert yaml.safe_load(modalink("recipes", "demo").output)["name"] == "demo"
    assert modalink("recipes", "demo").output == shipped()["demo"].read_text()


def test_a_preset_is_shown_as_what_it_comes_to(modalink, tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text(modalink("recipes", "llava-1.5-7b-lora").output)
    assert load(file) == load("llava-1.5-7b-lora")
    assert "presets" not in file.read_text()


def test_on_a_terminal_each_value_stands_beside_its_source():
    text = for_people("llava-1.5-13b")
    lines = {" ".join(line.split()) for line in text.splitlines()}
    assert "llava-1.5-13b" in lines and any(line.endswith("https://arxiv.org/abs/2310.03744") for line in lines)
    assert "checkpoint: lmsys/vicuna-13b-v1.5 [code: scripts/v1_5/finetune.sh]" in lines
    assert "batch: 256 [code: scripts/v1_5/pretrain.sh]" in lines
    assert not any(line.startswith("clip:") for line in lines)  # nothing that the recipe leaves to its default
    assert "with the image folders that it names)." in lines


@pytest.mark.parametrize("name", shipped())
def test_every_recipe_can_be_read(name):
    text = for_people(name)
    assert all(f"stage {number}: {stage.name}" in text for number, stage in enumerate(load(name).stages, 1))


def test_machines_get_json(modalink):
    listed = json.loads(modalink("recipes", "--json").output)
    assert {row["name"]: row["presets"] for row in listed}["llava-1.5"] == ["7b", "13b", "7b-lora"]
    assert json.loads(modalink("recipes", "llava-13b", "--json").output) == load("llava-13b").to_dict()
    assert modalink("recipes", "demo", "--yaml").output == shipped()["demo"].read_text()
    result = modalink("recipes", "demo", "--yaml", "--json")
    assert result.exit_code == 2 and "found --yaml and --json" in result.stderr


def test_what_is_no_recipe_is_not_shown(modalink, tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    result = modalink("recipes", tmp_path / "a.png")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "a.png: byte 0 is not UTF-8; needed a YAML file" in result.stderr


def test_the_schema_is_printed(modalink):
    assert json.loads(modalink("recipes", "schema").output) == json_schema()

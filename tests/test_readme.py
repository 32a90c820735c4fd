"""What the README tells a new user to do works."""

import re
from pathlib import Path

import pytest
import skimage.data
from PIL import Image

from modalink.cli.main import COMMANDS
from modalink.planning import examine
from modalink.recipe import load

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The README's recipe in a folder with two photos, made as the README says."""
    (recipe,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "mine.yaml").write_text(recipe)
    (tmp_path / "photos").mkdir()
    for name, text in (("astronaut", "an astronaut in an orange suit"), ("coffee", "a cup of coffee on a table")):
        Image.fromarray(getattr(skimage.data, name)()).save(tmp_path / "photos" / f"{name}.jpg")
        (tmp_path / "photos" / f"{name}.txt").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "mine.yaml"


def test_its_recipe_can_be_read_and_built_without_a_network(mine):
    found = {finding.topic: finding for finding in examine(load(mine))}
    assert {finding.status for finding in found.values()} == {"ok", "warning"}
    assert "image in: encoder 196 x 768, projector 196 x 896, LLM 896" in found["widths"].lines


def test_its_recipe_reads_real_photos_on_the_parts_that_ship(mine):
    (command,) = re.findall(r"`modalink doctor mine.yaml (.*?)`", README)
    found = list(examine(load(mine, [*command.split(), "stages.0.batch=2", "stages.1.batch=2"])))
    assert {finding.status for finding in found} == {"ok"}
    text = "\n".join(line for finding in found for line in finding.lines)
    assert re.search(r"\[\[an? (astronaut|cup)", text)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_commands_and_files_exist(document):
    text = document.read_text(encoding="utf-8")
    commands = re.findall(r"(?:^ +|`)(?:\.venv/bin/)?modalink ([a-z]+)", text, re.MULTILINE)
    assert set(commands) <= set(COMMANDS)
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (document.parent / link).exists()
    for target in re.findall(r"^ +make ([a-z]+)", text, re.MULTILINE):
        assert f"\n{target}:" in (ROOT / "Makefile").read_text()


def test_the_readme_names_recipes_that_ship():
    for name in re.findall(r"modalink (?:train|doctor) ([a-z0-9.-]+) ", README):
        if not name.endswith(".yaml"):
            assert load(name).name == name

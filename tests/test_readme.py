"""What the README tells a new user to do works, and what the documents name is there."""

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
PACKAGE = ROOT / "src" / "modalink"
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "README.zh.md", "CONTRIBUTING.md", "examples/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(PACKAGE.glob("*/README.md")),
]
MAPS = [*sorted(PACKAGE.glob("*/README.md")), *(ROOT / "docs" / f"{name}.md" for name in ("architecture", "data"))]
"""Documents that lead through the code."""


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


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_exists(document):
    text = document.read_text(encoding="utf-8")
    commands = re.findall(r"(?:^ +|`)(?:\.venv/bin/)?modalink ([a-z]+)", text, re.MULTILINE)
    assert set(commands) <= set(COMMANDS)
    for link in re.findall(r"\]\((?!http)([^)]+)\)", text):
        path, _, section = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), f"{link} leads nowhere"
        assert not section or section in _sections(target), f"{link}: there is no such section"
    for target in re.findall(r"^ +make ([a-z]+)", text, re.MULTILINE):
        assert f"\n{target}:" in (ROOT / "Makefile").read_text()


def _sections(document):
    """Names of a document's sections in links, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", MAPS, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_that_a_document_names_exist(document):
    """A name in backticks with a suffix, or with a slash at its end, is below the package or beside the document."""
    names = re.findall(r"`((?:\w+/)*\w+\.py|(?:\w+/)+)`", document.read_text(encoding="utf-8"))
    places = (PACKAGE, ROOT, document.parent)
    assert [name for name in names if not any((place / name).exists() for place in places)] == []


def test_the_readme_names_recipes_that_ship():
    for name in re.findall(r"modalink (?:train|doctor) ([a-z0-9.-]+) ", README):
        if not name.endswith(".yaml"):
            assert load(name).name == name


def _commands(text):
    """The commands of indented blocks, without what stands behind them."""
    lines = re.findall(r"^    ((?:\.venv/bin/)?(?:modalink|make) .*)$", text, re.MULTILINE)
    return [re.split(r"\s{2,}|; `", line)[0] for line in lines]


def _numbers(text):
    """The numbers of the table of results and of the paragraph under it."""
    results, _, _ = text[text.index("\n| ") :].partition("\n    .venv/bin/modalink")
    return sorted(re.findall(r"\d+(?:\.\d+)?", results))


def test_the_chinese_readme_has_the_commands_recipes_and_numbers_of_the_english_one():
    chinese = (ROOT / "README.zh.md").read_text(encoding="utf-8")
    assert _commands(chinese) == _commands(README)
    assert re.findall(r"```.*?```", chinese, re.DOTALL) == re.findall(r"```.*?```", README, re.DOTALL)
    assert _numbers(chinese) == _numbers(README)

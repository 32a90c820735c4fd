"""What the site is built from."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def site(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "tools")
    return importlib.import_module("pages")


@pytest.fixture
def pages(site):
    return site.pages()


def test_every_room_and_document_has_a_page_of_its_own(pages):
    package = ROOT / "src" / "modalink"
    rooms = {f"reference/{path.parent.name}.md" for path in package.glob("*/__init__.py")}
    guide = {path.name for path in (ROOT / "docs").glob("*.md")}
    examples = {f"examples/{path.name}.md" for path in (ROOT / "examples").glob("*.py")}
    assert rooms | guide | examples < pages.keys()
    assert pages["recipe-reference.md"].startswith("# Recipe reference")
    assert "\n::: modalink.recipe.schema\n" in pages["reference/recipe.md"]


def test_links_stay_inside_the_site(pages):
    for name, text in pages.items():
        for link in re.findall(r"\]\((?!http|#)([^)#]+)", text):
            target = (Path(name).parent / link).as_posix()
            assert target in pages or (ROOT / "docs" / target).is_file(), f"{name}: {link}"


def test_the_navigation_leads_to_every_page(site, pages):
    def targets(entry):
        below = entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ()
        return {entry} if isinstance(entry, str) else {found for child in below for found in targets(child)}

    assert targets(site.settings()["nav"]) == pages.keys()

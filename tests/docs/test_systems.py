"""The pages about systems speak of recipes that ship."""

import re
import xml.etree.ElementTree as Xml
from pathlib import Path

from modalink.recipe import load, recipe_names, shipped

DOCS = Path(__file__).parents[2] / "docs"


def test_every_drawing_is_of_a_system_and_shows_its_stages():
    for file in sorted((DOCS / "gallery").glob("*.svg")):
        texts = [text.text or "" for text in Xml.parse(file).getroot() if text.tag.endswith("text")]
        recipe = load(file.stem)
        assert texts[0] == recipe.name
        assert f"stages: {' → '.join(stage.name for stage in recipe.stages)}" in texts


def test_the_gallery_shows_every_drawing():
    page = (DOCS / "gallery.md").read_text(encoding="utf-8")
    shown = re.findall(r"\(gallery/(.+)\.svg\)", page)
    assert sorted(shown) == sorted(file.stem for file in (DOCS / "gallery").glob("*.svg"))
    assert set(shown) <= set(shipped())


def test_a_size_far_from_the_published_one_has_a_remark():
    page = (DOCS / "systems.md").read_text(encoding="utf-8")
    table = page.partition("<!-- table of sizes -->")[2].partition("<!-- end")[0]
    rows = [row.strip("| ").split(" | ") for row in table.splitlines() if row.startswith("| `")]
    assert rows and {row[0].strip("`") for row in rows} <= set(recipe_names())
    for row in rows:
        far = re.search(r", [+-][\d.]+%\)", " ".join(row))
        assert far is None or len(row) == 4, f"{row[0]}: run `python docs/tools/systems.py`"

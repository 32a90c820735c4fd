"""The recipe reference holds every kind and every field."""

import importlib
import re
from pathlib import Path

import pytest

from modalink.kinds import config_class, kinds
from modalink.recipe import InputSpec, OutputSpec, Recipe

ROOT = Path(__file__).parents[2]
ROOMS = ("encoders", "projectors.inputs", "projectors.outputs", "llms", "llms.joins", "generators", "data.sources")
ROOMS += ("training.objectives", "training.stages", "training.optimizers")


@pytest.fixture
def page(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "tools")
    return importlib.import_module("recipe_reference").recipe_reference()


def test_every_kind_has_a_section_with_its_fields(page):
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    classes = [config_class(f"modalink.{room}", kind) for room in ROOMS for kind in kinds(f"modalink.{room}")]
    for config in (*classes, Recipe, InputSpec, OutputSpec):
        rows = set(re.findall(r"^\| `(\w+)` \|", sections[config.__name__], re.MULTILINE))
        rows -= {"presets"} if config is Recipe else set()  # of a file, not of the recipe that is read from it
        assert rows == {info.alias or name for name, info in config.model_fields.items()} - {"kind"}


def test_every_link_leads_to_a_section(page):
    sections = {title.lower() for title in re.findall(r"^## (\w+)$", page, re.MULTILINE)}
    links = set(re.findall(r"\]\(#([\w-]+)\)", page))
    assert links <= sections and "inputspec" in links


def test_a_field_says_what_it_holds(page):
    assert "| `seed` | integer | `0` | Seed of new weights" in page
    assert "| `batch` | integer | required | Conversations a step" in page
    assert "| `join` | [JoinSpec](#joinspec) or none | `none` | Neighbouring tokens" in page

"""The studies that ship compare what they say, on recipes that exist."""

import importlib
from pathlib import Path

import pytest

from modalink.comparison.design import Comparison, load_study, published, studies
from modalink.comparison.recipes import comparables
from modalink.errors import RecipeError, UnknownNameError
from modalink.recipe import load


@pytest.mark.parametrize("name", studies())
def test_a_study_differs_in_what_it_asks_alone(name):
    study = load_study(name)
    assert study.name == name and study.question and study.tiny and len(study.seeds) == 3
    found = comparables(study, ["image"])
    assert len({one.recipe.llm.checkpoint for one in found}) == 1
    for one in found:
        taught = ["sentence"] if one.design.recipe == "dlp" else []
        assert one.recipe.stages and list(one.recipe.inputs) == ["image", *taught]


def tokens(study, name):
    recipe = {one.design.name: one.recipe for one in comparables(load_study(study), ["image"])}[name]
    encoder = recipe.encoder("image")
    reader = encoder.preprocessor()
    layout = encoder.layout(reader.layout(importlib.import_module("modalink.modalities").get("image").example(0)))
    return recipe.inputs["image"].projector.layout(layout).tokens


@pytest.mark.parametrize(
    ("study", "name", "count"),
    [
        ("resolution", "32-pixels", 16),
        ("resolution", "64-pixels", 64),
        ("resolution", "64-pixels-joined", 16),
        ("linear-or-q-former", "linear", 64),
        ("linear-or-q-former", "q-former-64", 64),
        ("linear-or-q-former", "q-former-16", 16),
    ],
)
def test_tokens_of_a_picture(study, name, count):
    assert tokens(study, name) == count


def test_all_published_readers_are_found():
    names = {design["name"] for design in published("image")}
    assert {"llava", "llava-1.5"} <= names and "demo" not in names
    assert all("image" in load(name).inputs for name in names)


def test_what_learns_from_judgements_is_no_reader_to_be_compared():
    """A system that is taught by them alone is left out; of one that has other stages these stay."""
    names = {design["name"] for design in published("image")}
    assert not names & {"rlhf-v", "mdpo", "r1-v", "metaquery-sd15-ddpo"}
    design = {"name": "llava-rlhf", "recipe": "llava-rlhf"}
    data = [{"source": "tiny_world", "count": 8, "tasks": ["caption"]}]
    given = {"name": "one", "designs": [design, {"name": "llava", "recipe": "llava"}], "data": data, "steps": 6}
    asked = {"benchmarks": {"a": {"name": "tiny_world"}}, "tiny": True}
    found, _ = comparables(Comparison.model_validate(given | asked), ["image"])
    assert [type(stage).__name__ for stage in found.recipe.stages] == ["SupervisedConfig"] * 3
    assert {
        "without the stage judge, which learns from judgements",
        "without the stage ppo, which learns from judgements",
    } <= {*found.notes}


def test_a_study_that_is_no_study_is_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="unknown study 'resolutions'; did you mean 'resolution'"):
        load_study("resolutions")
    (tmp_path / "bad.yaml").write_text("designs: [{name: a, recipe: demo}]\ndata: []\n")
    with pytest.raises(RecipeError, match=r"bad.yaml: 3 problems\n.*bad.yaml, line 1, designs: found \[.*at least 2"):
        load_study(str(tmp_path / "bad.yaml"))


def test_a_result_takes_the_place_of_the_one_before(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "docs" / "tools")
    filled = importlib.import_module("studies").filled
    once = filled("# Page\n", "a", "one\n")
    assert once == "# Page\n\n### a\n\n<!-- a: begin -->\none\n<!-- a: end -->\n"
    both = filled(once, "b", "other\n")
    assert filled(both, "a", "two\\1\n") == both.replace("one", "two\\1")

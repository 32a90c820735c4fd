"""Sizes and variants of one system in one file."""

import pytest

from modalink.errors import RecipeError
from modalink.recipe import find, load, recipe_names, shipped
from tests.recipe.conftest import SEE

PRESETS = """
provenance: {llm.checkpoint: "published: here", llm.lora: "published: here", stages.0: "code: train.sh"}
presets:
  small:
  large:
    llm: {lora: {rank: 32}}
    stages.0.batch: 16
    provenance: {llm.lora.rank: "code: large.sh"}
  linear:
    inputs.image.projector: {kind: linear}
    stages.0.train: {inputs.image.projector: {lr: 1e-2}}
"""


@pytest.fixture
def sizes(tmp_path):
    file = tmp_path / "sizes.yaml"
    file.write_text(SEE + PRESETS)
    return file


def test_the_first_preset_is_the_default(sizes, see):
    plain, alone = load(sizes), load(see)
    assert plain.name == "see-small" and load(f"{sizes}:small") == plain
    assert plain.model_copy(update={"name": "see", "provenance": {}}) == alone


def test_keys_merge_and_dotted_paths_replace(sizes):
    large, linear = load(f"{sizes}:large"), load(f"{sizes}:linear")
    assert large.name == "see-large"
    assert (large.llm.lora.rank, large.llm.lora.alpha, large.stages[0].batch) == (32, 16, 16)
    assert large.llm.checkpoint == "zoo:llm"
    assert linear.inputs["image"].projector.kind == "linear"
    assert {*linear.stages[0].train} == {"inputs.image.projector"}


def test_sources_of_what_a_preset_changes_are_its_own(sizes):
    assert load(f"{sizes}:large").provenance == {
        "llm.checkpoint": "published: here",
        "llm.lora": "published: here",
        "llm.lora.rank": "code: large.sh",
        "stages.0": "code: train.sh",
    }


def test_a_resolved_recipe_has_no_presets_and_reads_back(sizes, tmp_path):
    large = load(f"{sizes}:large")
    (tmp_path / "resolved.yaml").write_text(large.to_yaml())
    assert "presets" not in large.to_yaml() and load(tmp_path / "resolved.yaml") == large


@pytest.mark.parametrize(("base", "rank"), [("sizes.yaml", 8), ("sizes.yaml:large", 32)])
def test_a_preset_can_lie_beneath(sizes, tmp_path, base, rank):
    (tmp_path / "mine.yaml").write_text(f"extends: {base}\nname: mine\npresets: {{a: {{seed: 1}}, b: {{seed: 2}}}}\n")
    mine = load(f"{tmp_path / 'mine.yaml'}:b")
    assert (mine.name, mine.llm.lora.rank, mine.seed) == ("mine-b", rank, 2)


def test_overrides_and_tiny_lie_over_a_preset(sizes):
    assert load(f"{sizes}:large", ["stages.0.batch=4"]).stages[0].batch == 4
    assert load(f"{sizes}:linear", tiny=True).name == "see-linear-tiny"


def test_every_shipped_preset_has_one_name():
    names = recipe_names()
    assert all(find(name) == address for name, address in names.items())
    for name, file in shipped().items():
        assert load(name).name in (name, next(n for n, address in names.items() if address.file == file))


@pytest.mark.parametrize(
    ("presets", "preset", "message"),
    [
        ("{7b: {}}", "13b", "r.yaml: unknown preset '13b'; known: 7b"),
        ("[7b]", "7b", "r.yaml, line 2, presets: found ['7b'], needed a mapping from names to what they change"),
        ("{}", "7b", "r.yaml, line 2, presets: found {}, needed a mapping from names to what they change"),
        ("{7b: 3}", "7b", "r.yaml, line 2, presets.7b: found 3, needed a mapping (`key: value`)"),
        ("{7b: {name: x}}", "7b", "r.yaml, line 2: a preset cannot set 'name'"),
        ("{7b: {stages.9.batch: 8}}", "7b", "r.yaml, line 2: stages: found index '9', needed a number from 0 to 3"),
        (
            "{7b: {stages.0.bacth: 8}}",
            "7b",
            "r.yaml, line 2, stages.0.bacth: unknown key 'bacth'; did you mean 'batch'?",
        ),
        ("{7b: {sead: 8}}", "7b", "r.yaml, line 2, sead: unknown key 'sead'; did you mean 'seed'?"),
        ("{7b: {provenance: {llm.nothing: published}}}", "7b", "r.yaml, line 2, provenance.llm.nothing: leads nowhere"),
    ],
)
def test_bad_presets(tmp_path, presets, preset, message):
    (tmp_path / "r.yaml").write_text(f"extends: demo\npresets: {presets}\n")
    with pytest.raises(RecipeError) as caught:
        load(f"{tmp_path / 'r.yaml'}:{preset}")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("llava-1.5-70b", "unknown preset of llava-1.5 '70b'; did you mean '7b'? known: 13b, 7b, 7b-lora"),
        ("llava:70b", "llava.yaml: unknown preset '70b'; did you mean '7b'? known: 13b, 7b"),
        ("demo:7b", "demo.yaml: found no presets, needed one called '7b': name the recipe alone"),
        ("nowhere/my.yaml:7b", "nowhere/my.yaml: there is no such file; shipped recipes are "),
    ],
)
def test_presets_that_are_not_there(reference, message):
    with pytest.raises(RecipeError) as caught:
        load(reference)
    assert str(caught.value).startswith(message)


def test_null_takes_an_input_out(sizes, tmp_path):
    heat = "  heat: {use: image, projector: {kind: linear}}\n"
    text = SEE.replace("llm:", heat + "llm:", 1) + "presets:\n  both: {}\n  one: {inputs.heat: null}\n"
    (tmp_path / "heat.yaml").write_text(text)
    assert {*load(f"{tmp_path}/heat.yaml:both").inputs} == {"image", "heat"}
    assert {*load(f"{tmp_path}/heat.yaml:one").inputs} == {"image"}
    assert {*load(f"{tmp_path}/heat.yaml", ["inputs.heat=null"]).inputs} == {"image"}

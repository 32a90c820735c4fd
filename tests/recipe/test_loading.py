import pytest
import yaml

from modalink.errors import RecipeError, UnknownNameError
from modalink.recipe import find, load, shipped


def test_defaults_are_filled_in_and_the_whole_reads_back(see, tmp_path):
    recipe = load(see)
    assert recipe.stages[0].train["llm.lora"].lr == 1e-4
    assert recipe.stages[0].clip == 1.0
    (tmp_path / "resolved.yaml").write_text(recipe.to_yaml())
    assert load(tmp_path / "resolved.yaml") == recipe
    written = yaml.safe_load(recipe.to_yaml())
    assert written["stages"][0]["data"][0]["source"] == "tiny_world" and "kind" not in written["stages"][0]["data"][0]


def test_a_run_folder_stands_for_its_recipe(see, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text(load(see).to_yaml())
    assert load(tmp_path / "run") == load(see)


def test_a_recipe_lies_over_another(see, tmp_path):
    (tmp_path / "more.yaml").write_text("extends: see.yaml\nname: more\nllm: {lora: {rank: 4}}\n")
    (tmp_path / "most.yaml").write_text("extends: more.yaml\ninputs: {image: {projector: {kind: linear}}}\n")
    most = load(tmp_path / "most.yaml")
    assert most.name == "more"
    assert (most.llm.lora.rank, most.llm.lora.alpha) == (4, 16)
    assert most.inputs["image"].projector.kind == "linear"
    assert most.stages == load(see).stages


def test_a_shipped_recipe_can_lie_beneath(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: llava-1.5-7b\nname: mine\nllm: {checkpoint: lmsys/vicuna-13b-v1.5}\n")
    mine = load(tmp_path / "mine.yaml")
    assert mine.stages == load("llava-1.5-7b").stages
    assert "llm.checkpoint" not in mine.provenance  # its source spoke of the other value
    assert mine.provenance["stages.0"].startswith("code:")


def test_an_error_names_the_file_that_it_stands_in(see, tmp_path):
    see.write_text(see.read_text().replace("batch: 8", "batch: 0"))
    (tmp_path / "top.yaml").write_text("extends: see.yaml\nseed: x\n")
    with pytest.raises(RecipeError) as caught:
        load(tmp_path / "top.yaml")
    assert str(caught.value) == (
        "top.yaml: 2 problems\n"
        "  top.yaml, line 2, seed: found 'x', needed a valid integer, unable to parse string as an integer\n"
        "  see.yaml, line 17, stages.0.batch: found 0, needed greater than or equal to 1"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "r.yaml: the file is empty, needed a recipe"),
        ("# nothing\n", "r.yaml: the file is empty, needed a recipe"),
        ("- a\n", "r.yaml, line 1: found ['a'], needed a mapping (`key: value`)"),
        ("extends: r.yaml\n", "r.yaml: `extends` goes round in a circle: r.yaml -> r.yaml"),
        ("extends: demi\n", "r.yaml, line 1, extends: unknown recipe 'demi'; did you mean 'demo'?"),
        ("extends: [demo]\n", "r.yaml, line 1, extends: found ['demo'], needed a name or a file"),
    ],
)
def test_bad_files(tmp_path, text, message):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(RecipeError) as caught:
        load(tmp_path / "r.yaml")
    assert str(caught.value).startswith(message)


def test_a_longer_circle_is_shown(tmp_path):
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(RecipeError, match=r"a.yaml: `extends` goes round in a circle: a.yaml -> b.yaml -> a.yaml"):
        load(tmp_path / "a.yaml")


def test_bytes_are_no_recipe(tmp_path):
    (tmp_path / "r.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(RecipeError, match=r"r.yaml: byte 6 is not UTF-8; needed a YAML file"):
        load(tmp_path / "r.yaml")


def test_a_missing_recipe_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown recipe 'lava-1.5'; did you mean 'llava-1.5'\? known: "):
        load("lava-1.5")
    with pytest.raises(RecipeError, match=r"nowhere/my.yaml: there is no such file; shipped recipes are "):
        load("nowhere/my.yaml")


def test_a_file_goes_before_a_shipped_name(see, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    see.rename(tmp_path / "demo")
    assert load("demo").name == "see"
    assert find("llava-7b") == (shipped()["llava"], "7b")


ODD = ["x" * 5000, "a/" * 3000 + "b.yaml", "a\0b", "\ud800.yaml", "~nobody-here/x.yaml", ""]


@pytest.mark.parametrize("reference", ODD, ids=range(len(ODD)))
def test_a_name_that_no_file_can_have_is_an_error_in_words(see, tmp_path, reference):
    with pytest.raises(RecipeError):
        load(reference)
    if "\ud800" not in reference and "\0" not in reference:
        (tmp_path / "top.yaml").write_text(f"extends: {reference!r}\n")
        with pytest.raises(RecipeError, match=r"^top\.yaml, line 1, extends: "):
            load(tmp_path / "top.yaml")


@pytest.mark.parametrize("number", [-1, 0, 10**6, 10**9, 10**300])
@pytest.mark.parametrize(
    "place",
    [
        "inputs.image.projector.layers",
        "inputs.image.projector.width",
        "inputs.image.encoder.image_size",
        "llm.lora.rank",
    ],
)
def test_numbers_that_no_system_has_are_refused_before_anything_is_built(see, place, number):
    with pytest.raises(RecipeError, match=f"{place}: found .*, needed "):
        load(see, [f"{place}={number}"])

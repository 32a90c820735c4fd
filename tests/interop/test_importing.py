"""What is imported, and what is refused: nothing of a source is left over, and nothing here is not filled."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Size

from modalink import hub
from modalink.errors import PartError, UnknownNameError
from modalink.interop.importing import family_of, read_source, recipe_of
from modalink.interop.names import NameMap
from modalink.model import compose
from modalink.testing.checkpoints import tiny_llama
from modalink.testing.released import tiny_llava


@pytest.fixture
def folder(tmp_path):
    return tiny_llava(tmp_path / "tiny llava")


def change(folder, edit):
    """Edit the weights of a folder."""
    state = load_file(folder / "model.safetensors")
    edit(state)
    save_file(state, folder / "model.safetensors", {"format": "pt"})


def test_a_map_is_read_in_both_directions():
    names = NameMap({"a.": "x.a.", "a.deep.": "y.", "b": "z"})
    assert [names.here(name) for name in ("a.w", "a.deep.w", "b", "c")] == ["x.a.w", "y.w", "z", None]
    assert [names.there(name) for name in ("x.a.w", "y.w", "z", "a.w")] == ["a.w", "a.deep.w", "b", None]


@pytest.mark.parametrize(
    ("theirs", "ours", "says"),
    [
        ({"a.w": Size([2]), "c.w": Size([1])}, {"x.w": Size([2])}, r"1 of its weights have no place here \(c.w\)"),
        ({"a.w": Size([2])}, {"x.w": Size([2]), "x.b": Size([1])}, r"1 weights here are not filled by it \(x.b\)"),
        ({"a.w": Size([2])}, {"x.w": Size([3])}, r"a.w has the shape \(2,\), needed \(3,\) for x.w"),
    ],
)
def test_what_does_not_fit_is_named(theirs, ours, says):
    with pytest.raises(PartError, match=f"source: .*{says}"):
        NameMap({"a.": "x."}).check(theirs, ours, "source")


def test_the_weights_are_the_sources(folder):
    """The part's own loaders put each tensor where the map says."""
    source, held = read_source(str(folder)), load_file(folder / "model.safetensors")
    names = family_of(source).names(source)
    system = compose(recipe_of(str(folder)))
    ours = system.model.state_dict()
    in_memory = {
        "language_model.model.": "model.language_model.",
        "language_model.lm_head.": "lm_head.",
        "vision_tower.": "model.vision_tower.",
        "multi_modal_projector.": "model.multi_modal_projector.",
    }
    placed = {names.here(NameMap(in_memory).here(name)): tensor for name, tensor in held.items()}
    assert placed.keys() == ours.keys()
    assert all(torch.equal(ours[name], tensor) for name, tensor in placed.items())


def test_the_recipe_says_where_all_is_from(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    recipe = recipe_of(f"./{folder.name}")
    assert recipe.name == "tiny-llava" and recipe.stages == []
    assert recipe.llm.checkpoint == recipe.inputs["image"].encoder.checkpoint == str(folder)
    assert recipe.prompt.template == "llm" and "chat template" in recipe.provenance["prompt"]
    assert recipe_of(str(folder), name="mine", template="vicuna-v1.1").prompt.template == "vicuna-v1.1"


def test_a_checkpoint_without_a_usable_chat_template_gets_its_familys(folder):
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'] | upper }}{% endfor %}")
    recipe = recipe_of(str(folder))
    assert recipe.prompt.template == "vicuna-v1.1" and recipe.provenance["prompt"].startswith("assumed: ")
    (folder / "chat_template.jinja").unlink()
    recipe = recipe_of(str(folder))
    assert recipe.prompt.template == "vicuna-v1.1" and "has no chat template" in recipe.provenance["prompt"]


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (
            lambda state: state.pop("language_model.model.norm.weight"),
            "lacks weights: model.language_model.norm.weight",
        ),
        (
            lambda state: state.update({"vision_tower.more.weight": torch.ones(2)}),
            "holds weights that it has no place for: model.vision_tower.more.weight",
        ),
        (
            lambda state: state.update({"multi_modal_projector.linear_1.bias": torch.ones(7)}),
            r"multi_modal_projector.linear_1.bias has the shape \(7,\), needed \(32,\) by its config.json",
        ),
    ],
)
def test_weights_that_are_missing_left_over_or_of_another_shape_are_named(folder, edit, says):
    change(folder, edit)
    with pytest.raises(PartError, match=says):
        recipe_of(str(folder))


def test_a_missing_shard_is_named(folder):
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    half = len(state) // 2
    parts = {"model-1-of-2.safetensors": list(state)[:half], "model-2-of-2.safetensors": list(state)[half:]}
    for name, names in parts.items():
        save_file({key: state[key] for key in names}, folder / name, {"format": "pt"})
    index = {"weight_map": {key: name for name, names in parts.items() for key in names}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert recipe_of(str(folder)).llm.checkpoint == str(folder)
    assert hub.outline(str(folder)).keys() == state.keys()
    (folder / "model-2-of-2.safetensors").unlink()
    with pytest.raises(PartError, match=r"found 1 of the 2 weight files .* model-2-of-2.safetensors is missing"):
        recipe_of(str(folder))


def test_folders_that_are_no_checkpoints_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(PartError, match=r"empty: found no config.json"):
        recipe_of(str(tmp_path / "empty"))
    with pytest.raises(PartError, match="no such folder"):
        recipe_of(str(tmp_path / "absent" / "too"))
    (tmp_path / "empty" / "recipe.yaml").write_text("name: mine\n")
    with pytest.raises(PartError, match="found a run of modalink, needed a released checkpoint"):
        recipe_of(str(tmp_path / "empty"))


def test_an_unknown_architecture_is_told_the_nearest(tmp_path, folder):
    with pytest.raises(UnknownNameError, match=r"unknown architecture 'LlamaForCausalLM'; .*known: .*LlavaForCond"):
        recipe_of(str(tiny_llama(tmp_path / "llm")))
    with pytest.raises(UnknownNameError, match="zoo:llm: unknown architecture 'LlamaForCausalLM'"):
        recipe_of("zoo:llm")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["LlavaForConditionalGenerating"]}))
    with pytest.raises(UnknownNameError, match="did you mean 'LlavaForConditionalGeneration'"):
        recipe_of(str(folder))
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "architectures"}))
    assert recipe_of(str(folder)).llm.checkpoint == str(folder)


def test_a_chat_template_where_processors_kept_it_before_is_read(folder):
    source = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": source}))
    recipe = recipe_of(str(folder))
    assert recipe.prompt.template == "llm" and recipe.llm.tokenizer().chat_template == source

"""Out and in again, and in and out again: the same weights, to the bit."""

import pytest
import torch
from transformers import AutoModelForImageTextToText

from modalink.interop.export import export
from modalink.interop.importing import recipe_of
from modalink.modalities.image import example
from modalink.model import compose
from modalink.testing.released import tiny_llava

CHAT = [{"role": "user", "content": [{"type": "image", "image": example(2)}, {"type": "text", "text": "what?"}]}]


def test_a_run_that_is_exported_and_imported_is_the_run(make_reader, tmp_path):
    system = make_reader(tmp_path)
    system.save(tmp_path / "run/model")
    export(tmp_path / "run", tmp_path / "out")
    again = compose(recipe_of(str(tmp_path / "out")))
    state, rows = again.model.state_dict(), system.model.config.get_text_config().vocab_size
    for name, tensor in system.model.state_dict().items():
        assert torch.equal(state[name][:rows] if "embed_tokens" in name or "lm_head" in name else state[name], tensor)
    with torch.no_grad():
        given, wanted = again.processor(CHAT), system.processor(CHAT)
        assert torch.equal(given["input_ids"], wanted["input_ids"])
        assert torch.equal(again.model(**given).logits[..., :rows], system.model(**wanted).logits)


def test_a_linear_projector_comes_in_again_as_two_maps_with_nothing_between(make_reader, tmp_path):
    system = make_reader(tmp_path, "linear")
    system.save(tmp_path / "run/model")
    export(tmp_path / "run", tmp_path / "out")
    recipe = recipe_of(str(tmp_path / "out"))
    assert recipe.inputs["image"].projector.activation == "linear"
    again, rows = compose(recipe), system.model.config.get_text_config().vocab_size
    with torch.no_grad():
        given, wanted = again.processor(CHAT), system.processor(CHAT)
        assert torch.equal(again.model(**given).logits[..., :rows], system.model(**wanted).logits)


@pytest.mark.parametrize(
    "settings",
    [{}, {"tower": "siglip", "multimodal_projector_bias": False}, {"projector_hidden_act": "linear"}],
    ids=str,
)
def test_a_released_checkpoint_that_is_imported_and_exported_is_the_checkpoint(settings, tmp_path):
    folder = tiny_llava(tmp_path / "llava", **settings)
    compose(recipe_of(str(folder))).save(tmp_path / "run/model")
    export(tmp_path / "run", tmp_path / "out")
    found, wanted = (AutoModelForImageTextToText.from_pretrained(path) for path in (tmp_path / "out", folder))
    state = found.state_dict()
    assert {name: tensor.shape for name, tensor in wanted.state_dict().items()}.keys() == state.keys()
    for name, tensor in wanted.state_dict().items():
        assert torch.equal(state[name], tensor)
    for key in (
        "vision_feature_select_strategy",
        "projector_hidden_act",
        "multimodal_projector_bias",
        "image_token_id",
    ):
        assert getattr(found.config, key) == getattr(wanted.config, key)

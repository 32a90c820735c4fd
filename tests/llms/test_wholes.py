"""A language model is found in the checkpoint of a whole model, under its names there."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    LlavaForConditionalGeneration,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLForConditionalGeneration,
    Qwen3VLForConditionalGeneration,
)

from modalink.errors import PartError
from modalink.llms.pretrained import PretrainedLlmConfig
from modalink.testing.released import tiny_llava
from modalink.testing.released_blip import tiny_blip


@pytest.fixture
def llava(tmp_path):
    return tiny_llava(tmp_path / "llava")


def renamed(folder, pairs):
    state = load_file(folder / "model.safetensors")
    for before, after in pairs:
        state = {after + n.removeprefix(before) if n.startswith(before) else n: t for n, t in state.items()}
    save_file(state, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    "pairs", [[], [("language_model.lm_head.", "lm_head."), ("language_model.model.", "model.language_model.")]]
)
def test_all_spellings_of_its_names_are_read(llava, pairs):
    whole = LlavaForConditionalGeneration.from_pretrained(llava)
    renamed(llava, pairs)
    llm = PretrainedLlmConfig(checkpoint=str(llava)).build()
    assert llm.config.model_type == "llama"
    needed = {f"model.{name}": tensor for name, tensor in whole.model.language_model.state_dict().items()}
    needed["lm_head.weight"] = whole.lm_head.weight
    found = llm.state_dict()
    assert found.keys() == needed.keys() and all(torch.equal(found[name], needed[name]) for name in needed)


AXES = {"rope_type": "default", "rope_theta": 5e4, "mrope_section": [1, 1, 2]}
TEXT = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "rope_parameters": AXES, "initializer_range": 0.2,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
TOWER = {"depth": 1, "hidden_size": 16, "num_heads": 2, "intermediate_size": 16, "out_hidden_size": 32}


@pytest.mark.parametrize(
    ("model", "family", "changes", "tower"),
    [
        (
            Qwen2VLForConditionalGeneration,
            "qwen2",
            {},
            {"depth": 1, "embed_dim": 16, "hidden_size": 32, "num_heads": 2},
        ),
        (Qwen2_5_VLForConditionalGeneration, "qwen2", {}, TOWER | {"fullatt_block_indexes": [0]}),
        (Qwen3VLForConditionalGeneration, "qwen3", {"head_dim": 8}, TOWER | {"deepstack_visual_indexes": [0]}),
    ],
)
@pytest.mark.parametrize("tied", [False, True])
def test_a_decoder_of_three_axes_is_an_llm_of_one(tmp_path, model, family, changes, tower, tied):
    config = model.config_class(text_config=TEXT | changes, vision_config=tower, tie_word_embeddings=tied)
    torch.manual_seed(0)
    whole = model(config).eval()
    whole.save_pretrained(tmp_path)
    llm = PretrainedLlmConfig(checkpoint=str(tmp_path)).build()
    assert llm.config.model_type == family and (llm.lm_head.weight is llm.model.embed_tokens.weight) == tied
    ids = torch.arange(3, 23)[None]
    with torch.no_grad():
        expected, found = whole.double()(input_ids=ids).logits, llm.double()(input_ids=ids).logits
    assert (found - expected).abs().max() < 1e-9 * expected.abs().max()


def test_what_is_its_own_must_fit(llava):
    renamed(llava, [("language_model.model.norm.", "language_model.model.other.")])
    with pytest.raises(PartError, match=r"lacks parameters that the model needs: model.norm.weight"):
        PretrainedLlmConfig(checkpoint=str(llava)).build()


def test_the_head_is_the_wholes(tmp_path):
    """Where it stands beside the language model, the whole says whether it is the table of embeddings."""
    tied = tiny_llava(tmp_path / "tied", tie_word_embeddings=True)
    llm = PretrainedLlmConfig(checkpoint=str(tied)).build()
    assert llm.lm_head.weight is llm.model.embed_tokens.weight
    opt = PretrainedLlmConfig(checkpoint=str(tiny_blip(tmp_path / "blip"))).build()
    assert opt.config.model_type == "opt" and opt.lm_head.weight is opt.get_input_embeddings().weight
    t5 = PretrainedLlmConfig(checkpoint=str(tiny_blip(tmp_path / "t5", llm="t5"))).architecture()
    assert t5.is_encoder_decoder

"""A language model is found in the checkpoint of a whole model, under its names there."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlavaForConditionalGeneration

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

"""Weights that were published as a difference: base and difference make the LLM, and nothing else passes for one."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from modalink.errors import PartError
from modalink.hub import identity_of
from modalink.llms.pretrained import PretrainedLlmConfig
from modalink.testing.checkpoints import tiny_llama, tiny_opt


@pytest.fixture
def published(tmp_path):
    """A base, an LLM that was fine-tuned from it with a token more, and the difference."""
    base = tiny_llama(tmp_path / "base")
    tuned = AutoModelForCausalLM.from_pretrained(base)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.01)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tuned.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    tuned.save_pretrained(tmp_path / "tuned")
    tokenizer.save_pretrained(tmp_path / "delta")
    own, under = (load_file(tmp_path / name / "model.safetensors") for name in ("tuned", "base"))
    for name, tensor in own.items():
        tensor[: len(under[name])] -= under[name]
    (tmp_path / "delta/config.json").write_text((tmp_path / "tuned/config.json").read_text())
    save_file(own, tmp_path / "delta/model.safetensors", metadata={"format": "pt"})
    return tmp_path


def test_base_and_difference_make_the_llm(published):
    config = PretrainedLlmConfig(checkpoint=str(published / "base"), delta=str(published / "delta"))
    found = config.build().state_dict()
    for name, tensor in load_file(published / "tuned/model.safetensors").items():
        torch.testing.assert_close(found[name], tensor, atol=1e-6, rtol=1e-6)
    assert config.tokenizer().pad_token == "[PAD]"
    assert config.architecture().vocab_size == len(config.tokenizer())
    alone = PretrainedLlmConfig(checkpoint=str(published / "base"))
    assert identity_of(config).sha256 != identity_of(alone).sha256
    assert config.tiny().delta is None


def test_what_is_no_difference_to_the_base_is_refused(published):
    base, delta, tuned = (str(published / name) for name in ("base", "delta", "tuned"))
    with pytest.raises(PartError, match=r"llm.delta .*tuned: .* looks like whole weights and no difference"):
        PretrainedLlmConfig(checkpoint=base, delta=tuned).build()
    other = tiny_llama(published / "other", hidden_size=64, seed=3)
    with pytest.raises(PartError, match=r"has the shape \[\d+, 32\], and that of .*other \[\d+, 64\]; choose its base"):
        PretrainedLlmConfig(checkpoint=str(other), delta=delta).build()
    with pytest.raises(PartError, match=r"is not in both it and .*opt; choose its base"):
        PretrainedLlmConfig(checkpoint=str(tiny_opt(published / "opt")), delta=delta).build()
    with pytest.raises(PartError, match=r"has the shape"):
        PretrainedLlmConfig(checkpoint=tuned, delta=base).build()

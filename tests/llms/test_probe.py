"""The probe of LLM families: what a class says by itself is what it says in our hands, or it is refused in words."""

import builtins
from pathlib import Path

import pytest
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama import modeling_llama

from modalink import verdicts
from modalink.errors import PartError
from modalink.llms import ATTENTION, Fit, _probe, fit_of, probe, settle

PAGE = (Path(__file__).parents[2] / "docs" / "llms.md").read_text("utf-8")
EQUAL = Fit("equal", "", ATTENTION, packs=True)
FAMILIES = {
    "Llama": ("equal", ""),
    "Gemma2": ("equal", ""),
    "GPT2LMHead": ("equal", ""),
    "GptOss": ("equal", ""),
    "GraniteSWA": ("equal", ""),
    "MiniMax": ("unpacked", "samples of one packed stream change each other"),
    "Zaya": ("unpacked", "samples of one packed stream change each other"),
    "Falcon": ("own attention", "its attention cannot be replaced"),
    "Mamba2": ("own attention", "its attention cannot be replaced"),
    "AXK2": ("own attention", "hands indices to its attention"),
    "BertLMHead": ("refused", "depends on later tokens"),
    "Gemma3n": ("refused", "embedded input gives other logits than token ids"),
    "RecurrentGemma": ("refused", "its passes give back nothing that it keeps of earlier tokens"),
    "Rwkv": ("refused", "tokens behind its cache get other logits than without"),
    "OpenAIGPTLMHead": ("refused", "it keeps nothing of earlier tokens"),
    "BartForConditionalGeneration": ("own attention", "an encoder-decoder"),
    "SwitchTransformersForConditionalGeneration": ("own attention", "an encoder-decoder"),
}


def family(name):
    for ending in ("ForCausalLM", "Model", "LMHeadModel", ""):
        if found := getattr(transformers, name + ending, None):
            return found
    raise LookupError(name)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_run_as_its_own_code_allows(name):
    found = family(name)
    fit = probe(found, found.config_class())
    verdict, reason = FAMILIES[name]
    assert (fit.verdict, fit.packs) == (verdict, verdict == "equal"), fit.reason
    assert reason in fit.reason
    assert f"| `{found.__name__}` | {verdict} |" in PAGE


def test_the_page_has_the_families_of_transformers():
    assert PAGE.count("\n| `") > 200


def test_what_a_family_cannot_is_said_and_known():
    decoder = probe(transformers.BartForCausalLM, transformers.BartConfig())
    assert not decoder.pads
    assert "prompts of different lengths are decoded apart" in decoder.reason
    mamba = probe(transformers.MambaForCausalLM, transformers.MambaConfig())
    assert not mamba.spans
    assert "one by one" in mamba.reason


def test_a_flag_of_the_configuration_decides():
    reads = probe(transformers.RobertaForCausalLM, transformers.RobertaConfig())
    writes = probe(transformers.RobertaForCausalLM, transformers.RobertaConfig(is_decoder=True))
    assert "depends on later tokens" in reads.reason
    assert "depends on later tokens" not in writes.reason


@pytest.fixture
def fresh(monkeypatch):
    """Nothing is remembered."""
    monkeypatch.setattr(verdicts, "_known", {})


def test_a_family_that_mixes_neighbours_does_not_pack(fresh, monkeypatch):
    class Mixing(modeling_llama.LlamaAttention):
        def forward(self, hidden_states, *args, **kwargs):
            before = torch.nn.functional.pad(hidden_states, (0, 0, 1, 0))[:, :-1]
            return super().forward(hidden_states + 0.1 * before, *args, **kwargs)

    monkeypatch.setattr(modeling_llama, "LlamaAttention", Mixing)
    fit = probe(LlamaForCausalLM, LlamaConfig())
    assert (fit.verdict, fit.packs, fit.spans) == ("unpacked", False, False)
    assert "samples of one packed stream change each other" in fit.reason
    assert "its own cache gives other logits than its forward" in fit.reason


def test_an_argument_that_nobody_knows_leaves_a_family_its_own_attention(fresh, monkeypatch):
    class Handing(modeling_llama.LlamaAttention):
        def forward(self, hidden_states, *args, **kwargs):
            return super().forward(hidden_states, *args, **kwargs, slopes=torch.ones(4))

    monkeypatch.setattr(modeling_llama, "LlamaAttention", Handing)
    fit = probe(LlamaForCausalLM, LlamaConfig())
    assert (fit.verdict, fit.packs, fit.attention) == ("own attention", False, None)
    assert "Handing hands slopes to its attention" in fit.reason


def test_monstrous_numbers_are_bounded_and_nothing_is_asked_or_drawn(fresh, monkeypatch):
    monkeypatch.setattr(builtins, "input", lambda *args: pytest.fail("the probe asked something"))
    before = torch.get_rng_state()
    config = LlamaConfig(
        vocab_size=10**12,
        hidden_size=2**40,
        intermediate_size=10**15,
        num_hidden_layers=10**6,
        num_attention_heads=2**33,
        num_key_value_heads=2**30,
        max_position_embeddings=10**12,
    )
    assert probe(LlamaForCausalLM, config) == EQUAL
    assert torch.equal(torch.get_rng_state(), before)
    wide = probe(LlamaForCausalLM, LlamaConfig(head_dim=10**9))
    assert wide.verdict == "refused"
    assert "parameters" in wide.reason


@pytest.mark.parametrize("damage", [{"num_attention_heads": 0}, {"hidden_act": "os.system"}])
def test_a_configuration_that_cannot_be_built_is_refused_with_the_classs_own_words(damage):
    config = LlamaConfig(hidden_size=64, num_attention_heads=4)
    for name, value in damage.items():
        object.__setattr__(config, name, value)
    fit = probe(LlamaForCausalLM, config)
    assert fit.verdict == "refused"
    assert fit.reason


def test_it_is_found_out_once_for_all_sizes_of_a_family(fresh, monkeypatch):
    small, large = LlamaConfig(), LlamaConfig(hidden_size=8192, num_attention_heads=64, intermediate_size=28672)
    assert probe(LlamaForCausalLM, small) == EQUAL
    monkeypatch.setattr(_probe, "_probed", lambda *args: pytest.fail("probed again"))
    assert probe(LlamaForCausalLM, large) == EQUAL
    monkeypatch.setattr(verdicts, "_known", {})  # another process
    assert probe(LlamaForCausalLM, small) == EQUAL


def test_an_llm_gets_the_attention_of_its_verdict_or_is_refused():
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    llama = LlamaForCausalLM(LlamaConfig(**sizes, vocab_size=50))
    assert settle(llama) == fit_of(llama) == EQUAL
    assert llama.config._attn_implementation == ATTENTION
    bert = transformers.BertLMHeadModel(transformers.BertConfig(**sizes, vocab_size=50))
    with pytest.raises(PartError, match=r"llm bert \(BertLMHeadModel\): .* so it cannot write; choose another LLM"):
        settle(bert)

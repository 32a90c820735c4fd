"""Adapters without `targets`, on families that call their layers by many names."""

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from modalink.adapters import adapted
from modalink.adapters.lora import LoraSpec, add_lora
from modalink.errors import PartError

WIDE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
HEADS = WIDE | {"num_key_value_heads": 2}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4}
EXPERTS = {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "moe_intermediate_size": 16}
MLA = {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
FAMILIES = {
    "llama": (HEADS, {"q_proj", "v_proj"}),
    "qwen3_moe": (HEADS | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}, {"q_proj", "v_proj"}),
    "gpt2": (GPT2, {"c_attn"}),
    "phi3": (HEADS, {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"}),
    "deepseek_v3": (WIDE | {"num_key_value_heads": 4, "first_k_dense_replace": 1} | EXPERTS | MLA, None),
    "falcon": (WIDE, {"query_key_value"}),
    "gpt_neox": (WIDE, {"query_key_value"}),
    "bloom": ({"hidden_size": 32, "n_layer": 2, "n_head": 4}, {"query_key_value"}),
    "mpt": ({"d_model": 32, "n_layers": 2, "n_heads": 4}, {"Wqkv"}),
    "mamba": ({"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}, {"in_proj"}),
    "openai-gpt": (GPT2, {"c_attn", "c_proj", "c_fc"}),
    "t5": (T5, {"q", "v"}),
    "bart": ({"d_model": 32, "encoder_layers": 2, "decoder_layers": 2} | {"encoder_attention_heads": 4} |
             {"decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48}, {"q_proj", "v_proj"}),
}  # fmt: skip


def build(kind):
    sizes, expected = FAMILIES[kind]
    config = transformers.AutoConfig.for_model(kind, **sizes, vocab_size=60, pad_token_id=0)
    config.decoder_start_token_id = 0
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    return auto.from_config(config).requires_grad_(False), expected


@pytest.mark.parametrize("kind", FAMILIES)
def test_without_targets_every_family_gets_adapters_and_all_of_them_learn(kind):
    llm, expected = build(kind)
    add_lora(llm, LoraSpec(rank=2, alpha=4), kind)
    taken = adapted(llm)
    assert expected is None or taken.keys() == expected
    head = llm.get_output_embeddings()
    assert not any(module is head for name, module in llm.named_modules() if "lora" in name)
    ids = torch.randint(1, 60, (3, 12))
    llm(input_ids=ids, labels=ids).loss.backward()
    learning = {name: p for name, p in llm.named_parameters() if p.requires_grad}
    assert learning
    assert all(".lora_" in name for name in learning)
    silent = [name for name, p in learning.items() if p.grad is None or (".lora_B" in name and not p.grad.any())]
    assert not silent


def test_targets_are_last_names_of_its_layers_conv1d_among_them():
    llm, _ = build("gpt2")
    add_lora(llm, LoraSpec(rank=2, alpha=4, targets=("c_fc",)), "gpt2")
    assert adapted(llm) == {"c_fc": 2}
    other, _ = build("falcon")
    with pytest.raises(PartError, match=r"no linear layer is called q_proj.*its layers are dense, .*query_key_value"):
        add_lora(other, LoraSpec(rank=2, alpha=4, targets=("q_proj",)), "falcon")

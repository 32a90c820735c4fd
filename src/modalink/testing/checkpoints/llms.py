"""Tiny LLMs with their tokenizers."""

from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from tokenizers import processors
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BertConfig,
    BertForMaskedLM,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2Tokenizer,
    T5Config,
    T5ForConditionalGeneration,
)

from modalink.testing.checkpoints._drawn import SPREAD, by_name, save
from modalink.testing.tokenizers import tiny_qwen2_tokenizer, tiny_tokenizer


def tiny_llama(
    folder: Path | str, *, tokenizer: PreTrainedTokenizerFast | None = None, seed: int = 0, **config: Any
) -> Path:
    """A LLaMA causal LM with its tokenizer; `config` replaces fields of the configuration."""
    return _language(folder, LlamaForCausalLM, LlamaConfig, tokenizer or tiny_tokenizer(), seed, config)


def tiny_qwen2(folder: Path | str, *, tokenizer: Qwen2Tokenizer | None = None, seed: int = 0, **config: Any) -> Path:
    """A Qwen2 causal LM with tied embeddings; its tokenizer speaks ChatML and begins no text.

    The tokenizer must be Qwen's own class, because a `qwen2` folder is read as one, whatever it was saved as.
    """
    config = {"tie_word_embeddings": True} | config
    return _language(folder, Qwen2ForCausalLM, Qwen2Config, tokenizer or tiny_qwen2_tokenizer(), seed, config)


def tiny_opt(
    folder: Path | str, *, tokenizer: PreTrainedTokenizerFast | None = None, seed: int = 0, **config: Any
) -> Path:
    """An OPT causal LM (learned positions, tied embeddings) with its tokenizer."""
    config = {"ffn_dim": 64, "word_embed_proj_dim": config.get("hidden_size", 32), "init_std": SPREAD} | config
    return _language(folder, OPTForCausalLM, OPTConfig, tokenizer or tiny_tokenizer(), seed, config)


def tiny_t5(
    folder: Path | str,
    *,
    own_head: bool = True,
    tokenizer: PreTrainedTokenizerFast | None = None,
    seed: int = 0,
    **config: Any,
) -> Path:
    """A Flan-T5-like encoder-decoder LM (gated GELU, a head that is not scaled) with its tokenizer.

    Args:
        own_head: Whether its head has weights of its own, as in released files of T5 1.1, Flan-T5 and UL2; transformers
            ties them when it makes a T5 anew.
    """
    tokenizer = tokenizer or tiny_tokenizer(bos=False)
    settings: dict[str, Any] = {
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 64,
        "num_layers": 2,
        "num_decoder_layers": 2,
        "num_heads": 4,
    }
    settings |= {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "vocab_size": len(tokenizer)}
    settings |= {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    settings |= {"decoder_start_token_id": tokenizer.pad_token_id}
    path = save(folder, T5ForConditionalGeneration, T5Config(**(settings | config)), seed, tokenizer)
    if own_head:
        state = load_file(path / "model.safetensors")
        state["lm_head.weight"] = by_name("lm_head.weight", state["shared.weight"].shape, seed)
        save_file(state, path / "model.safetensors", metadata={"format": "pt"})
    return path


def tiny_bert(folder: Path | str, *, seed: int = 0, **config: Any) -> Path:
    """A BERT of two layers with its masked-word head, and a tokenizer that begins, ends and masks as BERT's does."""
    words = tiny_tokenizer(special=["<mask>"])
    begin, end = (("<s>", words.bos_token_id), ("</s>", words.eos_token_id))
    words.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[begin, end]
    )
    words.mask_token = "<mask>"
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    made = BertConfig(vocab_size=len(words), pad_token_id=words.pad_token_id, **{**sizes, **config})
    return save(folder, BertForMaskedLM, made, seed, words)


def tiny_llm(
    folder: Path | str, config: PreTrainedConfig, *, tokenizer: PreTrainedTokenizerFast | None = None, seed: int = 0
) -> Path:
    """Any LLM of transformers, by a configuration of tiny sizes, with its tokenizer, whose tokens it is given."""
    tokenizer = tokenizer or tiny_tokenizer(bos=not config.is_encoder_decoder)
    config.vocab_size = len(tokenizer)
    config.pad_token_id, config.eos_token_id = tokenizer.pad_token_id, tokenizer.eos_token_id
    config.bos_token_id = tokenizer.bos_token_id
    if config.is_encoder_decoder:
        config.decoder_start_token_id = tokenizer.pad_token_id
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    return save(folder, auto.from_config, config, seed, tokenizer)


def _language(folder: Path | str, model: Any, config: Any, tokenizer: Any, seed: int, changes: dict[str, Any]) -> Path:
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    settings |= {"max_position_embeddings": 512, "pad_token_id": tokenizer.pad_token_id}
    settings |= {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    if config is not OPTConfig:
        settings |= {"intermediate_size": 64, "num_key_value_heads": 2, "initializer_range": SPREAD}
    return save(folder, model, config(**(settings | changes)), seed, tokenizer)

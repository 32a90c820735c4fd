"""What tiny checkpoints of whole multimodal models share: sizes, a LLaMA, and how all of it is drawn and saved."""

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, PreTrainedTokenizerBase, ProcessorMixin

_SPREAD = 0.2
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
"""Sizes of towers and LLMs."""
SIDE, PATCH = 28, 7
"""Sides of an image and a patch, in pixels: 4 x 4 patches."""


def llama(tokenizer: PreTrainedTokenizerBase) -> LlamaConfig:
    """The configuration of a LLaMA for a tokenizer."""
    # Released ones have more rows than tokens.
    return LlamaConfig(
        **SMALL,
        vocab_size=len(tokenizer) + 5,
        max_position_embeddings=512,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def token_id(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    """The id of a token."""
    found: int = tokenizer.convert_tokens_to_ids(token)
    return found


def save(folder: Path | str, model: Any, config: Any, processor: ProcessorMixin, seed: int) -> Path:
    """Write a model with drawn weights, and its processor.

    Args:
        folder: Where to write it.
        model: Its class.
        config: Its configuration.
        processor: Its processor.
        seed: Of its weights.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        whole = model(config)
        for parameter in whole.parameters():
            # A matrix is drawn; a norm keeps its ones, a bias moves a little.
            parameter.add_(torch.randn_like(parameter), alpha=_SPREAD)
        whole.save_pretrained(folder)
    processor.save_pretrained(folder)
    return Path(folder)

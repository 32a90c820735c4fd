"""A tiny whole BLIP-2, out of which parts are taken."""

from pathlib import Path
from typing import Any

import torch
from transformers import Blip2ForConditionalGeneration, OPTConfig

from modalink.testing.checkpoints._drawn import SPREAD
from modalink.testing.tokenizers import tiny_tokenizer


def tiny_blip2(
    folder: Path | str, model: Any = Blip2ForConditionalGeneration, *, text: Any = None, seed: int = 0, **q_former: Any
) -> Path:
    """A whole BLIP-2, or InstructBLIP with its Q-Former's tokenizer: a tower (32 px, patch 8, width 32), five queries,
    three blocks of width 16, an LLM of width 32.

    Args:
        folder: Where to write it.
        model: Its class in transformers.
        text: The LLM's configuration; by default an OPT's.
        seed: Of its weights.
        q_former: Fields of the Q-Former's configuration.
    """
    tokenizer = tiny_tokenizer(bos=False)
    small = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32}
    opt = OPTConfig(**small, vocab_size=len(tokenizer), ffn_dim=64, word_embed_proj_dim=32, max_position_embeddings=99)
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 32}
    sizes |= {"vocab_size": len(tokenizer) + 1, "max_position_embeddings": 512}
    config = model.config_class(
        vision_config=small | {"image_size": 32, "patch_size": 8, "intermediate_size": 64},
        qformer_config=sizes | q_former,
        text_config=opt if text is None else text,
        num_query_tokens=5,
        image_token_index=len(tokenizer) - 1,
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        whole = model(config)
        for parameter in whole.parameters():
            # A matrix is drawn; a norm keeps its ones, a bias moves a little.
            parameter.add_(torch.randn_like(parameter), alpha=SPREAD)
        whole.save_pretrained(folder)
    if hasattr(whole, "qformer") and hasattr(whole.qformer, "embeddings"):
        tokenizer.save_pretrained(Path(folder) / "qformer_tokenizer")
    return Path(folder)

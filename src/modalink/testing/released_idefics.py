"""Tiny random checkpoints of IDEFICS, each a folder with model, processor and tokenizer."""

from pathlib import Path
from typing import Any

from transformers import IdeficsConfig, IdeficsForVisionText2Text, IdeficsProcessor
from transformers.models.idefics.image_processing_pil_idefics import IdeficsImageProcessorPil

from modalink.testing._wholes import PATCH, SIDE, SMALL, save
from modalink.testing.tokenizers import tiny_tokenizer

ADDED = ("<fake_token_around_image>", "<image>")
"""Tokens behind LLaMA's own."""


def tiny_idefics(folder: Path | str, *, resampler: bool = True, seed: int = 0, **config: Any) -> Path:
    """An IDEFICS: 28 px, patch 7, blocks before each of two layers, whose gates are open.

    Args:
        folder: Where to write it.
        resampler: Whether images are brought to five tokens, or read as the tower gives them.
        seed: Of its weights.
        config: Fields of its configuration.
    """
    tokenizer = tiny_tokenizer()
    settings: dict[str, Any] = SMALL | {"vocab_size": len(tokenizer), "additional_vocab_size": len(ADDED)}
    tokenizer.add_tokens(list(ADDED), special_tokens=True)
    settings |= {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    tower = {"embed_dim": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    settings["vision_config"] = tower | {"image_size": SIDE, "patch_size": PATCH}
    perceiver = {"resampler_n_latents": 5, "resampler_depth": 2, "resampler_n_heads": 4, "resampler_head_dim": 6}
    settings |= {"use_resampler": resampler, "perceiver_config": perceiver | {"use_resampler": resampler}}
    processor = IdeficsProcessor(IdeficsImageProcessorPil(image_size=SIDE), tokenizer)
    return save(folder, IdeficsForVisionText2Text, IdeficsConfig(**(settings | config)), processor, seed)

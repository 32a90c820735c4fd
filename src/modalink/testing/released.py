"""Tiny random checkpoints of whole multimodal models, each a folder with model, processor and tokenizer as
`save_pretrained` of transformers writes it; the same seed writes the same weights."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerBase,
    ProcessorMixin,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
)

from modalink.testing.tokenizers import tiny_tokenizer

_SPREAD = 0.2
_SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
_SIDE, _PATCH = 28, 7

BLOCKS = (
    "{% for m in messages %}{{ m['role'].upper() + ': ' }}"
    "{% for b in m['content'] if b['type'] in ('image', 'video') %}{{ '<' + b['type'] + '>\n' }}{% endfor %}"
    "{% for b in m['content'] if b['type'] == 'text' %}"
    "{% if m['role'] == 'assistant' %}{% generation %}{{ b['text'] + '</s>' }}{% endgeneration %}"
    "{% else %}{{ b['text'] + ' ' }}{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
"""A chat template that reads lists of blocks and puts all media of a turn before its words, as LLaVA's of the hub."""


def tiny_llava(folder: Path | str, *, tower: str = "clip", seed: int = 0, **config: Any) -> Path:
    """A LLaVA: 28 px, patch 7, so 16 patches.

    Args:
        folder: Where to write it.
        tower: `clip`, or `siglip`, which has no class token.
        seed: Of its weights.
        config: Fields of its configuration.
    """
    tokenizer = tiny_tokenizer(special=["<image>"])
    strategy = "default" if tower == "clip" else "full"
    settings = {"vision_feature_select_strategy": strategy, "image_token_id": _id(tokenizer, "<image>")}
    settings |= {"image_seq_length": 16, "vision_config": _vision(tower), "text_config": _llama(tokenizer)}
    processor = LlavaProcessor(
        _images(tower),
        tokenizer,
        patch_size=_PATCH,
        vision_feature_select_strategy=config.get("vision_feature_select_strategy", strategy),
        image_token="<image>",
        num_additional_image_tokens=int(tower == "clip"),
        chat_template=BLOCKS,
    )
    return _save(folder, LlavaForConditionalGeneration, LlavaConfig(**(settings | config)), processor, seed)


def _vision(tower: str) -> Any:
    kind = CLIPVisionConfig if tower == "clip" else SiglipVisionConfig
    return kind(**_SMALL, image_size=_SIDE, patch_size=_PATCH)


def _images(tower: str) -> Any:
    square = {"height": _SIDE, "width": _SIDE}
    if tower == "clip":
        return CLIPImageProcessorPil(size={"shortest_edge": _SIDE}, crop_size=square)
    return SiglipImageProcessorPil(size=square)


def _llama(tokenizer: PreTrainedTokenizerBase) -> LlamaConfig:
    # Released ones have more rows than tokens.
    return LlamaConfig(
        **_SMALL,
        vocab_size=len(tokenizer) + 5,
        max_position_embeddings=512,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def _id(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    found: int = tokenizer.convert_tokens_to_ids(token)
    return found


def _save(folder: Path | str, model: Any, config: Any, processor: ProcessorMixin, seed: int) -> Path:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        whole = model(config)
        for parameter in whole.parameters():
            # A matrix is drawn; a norm keeps its ones, a bias moves a little.
            parameter.add_(torch.randn_like(parameter), alpha=_SPREAD)
        whole.save_pretrained(folder)
    processor.save_pretrained(folder)
    return Path(folder)

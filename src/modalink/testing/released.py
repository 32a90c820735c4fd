"""Tiny random checkpoints of whole multimodal models, each a folder with model, processor and tokenizer as
`save_pretrained` of transformers writes it; the same seed writes the same weights."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipImageProcessorPil,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    InstructBlipForConditionalGeneration,
    InstructBlipProcessor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
    LlavaProcessor,
    OPTConfig,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    ProcessorMixin,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
    T5Config,
    VideoLlavaConfig,
    VideoLlavaForConditionalGeneration,
    VideoLlavaImageProcessor,
    VideoLlavaProcessor,
    VideoLlavaVideoProcessor,
)
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

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


def tiny_llava_next(folder: Path | str, *, seed: int = 0, **config: Any) -> Path:
    """A LLaVA-NeXT: tiles of 28 px of 16 patches, in grids of 1 x 2, 2 x 1 and 2 x 2."""
    tokenizer = tiny_tokenizer(special=["<image>"])
    pinpoints = [[28, 56], [56, 28], [56, 56]]
    square = {"height": _SIDE, "width": _SIDE}
    images = LlavaNextImageProcessorPil(size={"shortest_edge": _SIDE}, crop_size=square, image_grid_pinpoints=pinpoints)
    settings: dict[str, Any] = {"image_token_id": _id(tokenizer, "<image>"), "image_seq_length": 16}
    settings |= {"image_grid_pinpoints": pinpoints, "vision_config": _vision("clip"), "text_config": _llama(tokenizer)}
    processor = LlavaNextProcessor(
        images,
        tokenizer,
        patch_size=_PATCH,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
        chat_template=BLOCKS,
    )
    return _save(folder, LlavaNextForConditionalGeneration, LlavaNextConfig(**(settings | config)), processor, seed)


def tiny_video_llava(folder: Path | str, *, seed: int = 0, **config: Any) -> Path:
    """A Video-LLaVA: two towers of 28 px and 16 patches, one for images and one for frames."""
    tokenizer = tiny_tokenizer(special=["<image>", "<video>"])
    ids = {f"{medium}_token_id": _id(tokenizer, f"<{medium}>") for medium in ("image", "video")}
    settings = ids | {"vision_config": _vision("clip"), "text_config": _llama(tokenizer)}
    square = {"size": {"shortest_edge": _SIDE}, "crop_size": {"height": _SIDE, "width": _SIDE}}
    processor = VideoLlavaProcessor(
        image_processor=VideoLlavaImageProcessor(**square),
        video_processor=VideoLlavaVideoProcessor(**square),
        tokenizer=tokenizer,
        patch_size=_PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=BLOCKS,
    )
    return _save(folder, VideoLlavaForConditionalGeneration, VideoLlavaConfig(**(settings | config)), processor, seed)


def tiny_blip(folder: Path | str, *, llm: str = "opt", instruct: bool = False, seed: int = 0) -> Path:
    """A BLIP-2 or InstructBLIP: 28 px, patch 7, five queries, three blocks of width 16.

    Args:
        folder: Where to write it.
        llm: `opt`, `t5` or `llama`.
        instruct: Whether it is an InstructBLIP, whose Q-Former has a tokenizer of its own.
        seed: Of its weights.
    """
    tokenizer = tiny_tokenizer(special=["<image>"])
    words = tiny_tokenizer(vocab=300)
    inside = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 32}
    kind: Any = InstructBlipForConditionalGeneration if instruct else Blip2ForConditionalGeneration
    config = kind.config_class(
        vision_config=_SMALL | {"image_size": _SIDE, "patch_size": _PATCH},
        qformer_config=inside | {"vocab_size": len(words) + 1},
        text_config=_text(llm, tokenizer),
        num_query_tokens=5,
        image_token_index=_id(tokenizer, "<image>"),
    )
    images = BlipImageProcessorPil(size={"height": _SIDE, "width": _SIDE})
    processor: ProcessorMixin
    if instruct:
        processor = InstructBlipProcessor(images, tokenizer, words, num_query_tokens=5)
    else:
        processor = Blip2Processor(images, tokenizer, num_query_tokens=5)
    return _save(folder, kind, config, processor, seed)


def _text(llm: str, tokenizer: PreTrainedTokenizerBase) -> PreTrainedConfig:
    if llm == "llama":
        return _llama(tokenizer)
    special = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    rows = len(tokenizer) + 5
    if llm == "t5":
        sizes = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4}
        return T5Config(
            **sizes, **special, vocab_size=rows, feed_forward_proj="gated-gelu", decoder_start_token_id=0,
            tie_word_embeddings=False,
        )  # fmt: skip
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 64}
    return OPTConfig(**small, **special, vocab_size=rows, word_embed_proj_dim=32, max_position_embeddings=99)


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

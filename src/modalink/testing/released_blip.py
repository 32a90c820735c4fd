"""Tiny random checkpoints of BLIP-2 and the InstructBLIPs, each a folder with model, processor and tokenizers."""

from pathlib import Path
from typing import Any

from transformers import (
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipImageProcessorPil,
    InstructBlipForConditionalGeneration,
    InstructBlipProcessor,
    InstructBlipVideoForConditionalGeneration,
    InstructBlipVideoProcessor,
    InstructBlipVideoVideoProcessor,
    OPTConfig,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    ProcessorMixin,
    T5Config,
)

from modalink.testing._wholes import PATCH, SIDE, SMALL, llama, save, token_id
from modalink.testing.tokenizers import tiny_tokenizer

_QUERIES = 5


def tiny_blip(
    folder: Path | str, *, llm: str = "opt", instruct: bool = False, video: bool = False, seed: int = 0
) -> Path:
    """A BLIP-2 or InstructBLIP: 28 px, patch 7, five queries, three blocks of width 16.

    Args:
        folder: Where to write it.
        llm: `opt`, `t5` or `llama`.
        instruct: Whether it is an InstructBLIP, whose Q-Former has a tokenizer of its own.
        video: Whether that one reads videos of four frames instead of images.
        seed: Of its weights.
    """
    medium = "video" if video else "image"
    tokenizer = tiny_tokenizer(special=[f"<{medium}>"])
    words = tiny_tokenizer(vocab=300)
    inside = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 32}
    kind = _kind(instruct, video)
    config = kind.config_class(
        vision_config=SMALL | {"image_size": SIDE, "patch_size": PATCH},
        qformer_config=inside | {"vocab_size": len(words) + 1},
        text_config=_text(llm, tokenizer),
        num_query_tokens=_QUERIES,
        **{f"{medium}_token_index": token_id(tokenizer, f"<{medium}>")},
    )
    return save(folder, kind, config, _processor(kind, tokenizer, words), seed)


def _kind(instruct: bool, video: bool) -> Any:
    if video:
        return InstructBlipVideoForConditionalGeneration
    return InstructBlipForConditionalGeneration if instruct else Blip2ForConditionalGeneration


def _processor(kind: Any, tokenizer: PreTrainedTokenizerBase, words: PreTrainedTokenizerBase) -> ProcessorMixin:
    square = {"height": SIDE, "width": SIDE}
    if kind is InstructBlipVideoForConditionalGeneration:
        frames = InstructBlipVideoVideoProcessor(size=square)
        return InstructBlipVideoProcessor(frames, tokenizer, words, num_query_tokens=_QUERIES)
    images = BlipImageProcessorPil(size=square)
    if kind is InstructBlipForConditionalGeneration:
        return InstructBlipProcessor(images, tokenizer, words, num_query_tokens=_QUERIES)
    return Blip2Processor(images, tokenizer, num_query_tokens=_QUERIES)


def _text(llm: str, tokenizer: PreTrainedTokenizerBase) -> PreTrainedConfig:
    if llm == "llama":
        return llama(tokenizer)
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

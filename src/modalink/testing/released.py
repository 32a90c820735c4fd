"""Tiny random checkpoints of the LLaVA family, each a folder with model, processor and tokenizer as
`save_pretrained` of transformers writes it; the same seed writes the same weights."""

from pathlib import Path
from typing import Any

from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    LlavaProcessor,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
    VideoLlavaConfig,
    VideoLlavaForConditionalGeneration,
    VideoLlavaImageProcessor,
    VideoLlavaProcessor,
    VideoLlavaVideoProcessor,
)
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil

from modalink.testing._wholes import PATCH, SIDE, SMALL, llama, save, token_id
from modalink.testing.tokenizers import tiny_tokenizer

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
    settings = {"vision_feature_select_strategy": strategy, "image_token_id": token_id(tokenizer, "<image>")}
    settings |= {"image_seq_length": 16, "vision_config": _vision(tower), "text_config": llama(tokenizer)}
    processor = LlavaProcessor(
        _images(tower),
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy=config.get("vision_feature_select_strategy", strategy),
        image_token="<image>",
        num_additional_image_tokens=int(tower == "clip"),
        chat_template=BLOCKS,
    )
    return save(folder, LlavaForConditionalGeneration, LlavaConfig(**(settings | config)), processor, seed)


def tiny_llava_next(folder: Path | str, *, seed: int = 0, **config: Any) -> Path:
    """A LLaVA-NeXT: tiles of 28 px of 16 patches, in grids of 1 x 2, 2 x 1 and 2 x 2."""
    tokenizer = tiny_tokenizer(special=["<image>"])
    pinpoints = [[28, 56], [56, 28], [56, 56]]
    square = {"height": SIDE, "width": SIDE}
    images = LlavaNextImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=square, image_grid_pinpoints=pinpoints)
    settings: dict[str, Any] = {"image_token_id": token_id(tokenizer, "<image>"), "image_seq_length": 16}
    settings |= {"image_grid_pinpoints": pinpoints, "vision_config": _vision("clip"), "text_config": llama(tokenizer)}
    processor = LlavaNextProcessor(
        images,
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
        chat_template=BLOCKS,
    )
    return save(folder, LlavaNextForConditionalGeneration, LlavaNextConfig(**(settings | config)), processor, seed)


def tiny_llava_onevision(folder: Path | str, *, frames: int = 3, seed: int = 0, **config: Any) -> Path:
    """A LLaVA-OneVision: tiles of 28 px and 16 patches, up to 3 x 3 of them, which make the tokens of four.

    Args:
        folder: Where to write it.
        frames: How many frames of a video it reads.
        seed: Of its weights.
        config: Fields of its configuration.
    """
    tokenizer = tiny_tokenizer(special=["<image>", "<video>"])
    pinpoints = [[SIDE * rows, SIDE * columns] for rows in (1, 2, 3) for columns in (1, 2, 3)]
    square = {"height": SIDE, "width": SIDE}
    settings: dict[str, Any] = {f"{m}_token_id": token_id(tokenizer, f"<{m}>") for m in ("image", "video")}
    settings |= {"image_grid_pinpoints": pinpoints, "vision_aspect_ratio": "anyres_max_4"}
    settings |= {"vision_config": _vision("siglip"), "text_config": llama(tokenizer)} | config
    processor = LlavaOnevisionProcessor(
        LlavaOnevisionImageProcessorPil(size=square, image_grid_pinpoints=pinpoints),
        tokenizer,
        LlavaOnevisionVideoProcessor(size=square, num_frames=frames),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=BLOCKS,
        vision_aspect_ratio="anyres_max_4",
    )
    return save(folder, LlavaOnevisionForConditionalGeneration, LlavaOnevisionConfig(**settings), processor, seed)


def tiny_video_llava(folder: Path | str, *, seed: int = 0, **config: Any) -> Path:
    """A Video-LLaVA: two towers of 28 px and 16 patches, one for images and one for frames."""
    tokenizer = tiny_tokenizer(special=["<image>", "<video>"])
    ids = {f"{medium}_token_id": token_id(tokenizer, f"<{medium}>") for medium in ("image", "video")}
    settings = ids | {"vision_config": _vision("clip"), "text_config": llama(tokenizer)}
    square = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    processor = VideoLlavaProcessor(
        image_processor=VideoLlavaImageProcessor(**square),
        video_processor=VideoLlavaVideoProcessor(**square),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=BLOCKS,
    )
    return save(folder, VideoLlavaForConditionalGeneration, VideoLlavaConfig(**(settings | config)), processor, seed)


def _vision(tower: str) -> Any:
    kind = CLIPVisionConfig if tower == "clip" else SiglipVisionConfig
    return kind(**SMALL, image_size=SIDE, patch_size=PATCH)


def _images(tower: str) -> Any:
    square = {"height": SIDE, "width": SIDE}
    if tower == "clip":
        return CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=square)
    return SiglipImageProcessorPil(size=square)

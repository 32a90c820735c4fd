"""Tiny towers that read pictures, each with its preprocessor."""

from pathlib import Path
from typing import Any

from transformers import (
    Blip2VisionModel,
    BlipImageProcessorPil,
    CLIPImageProcessorPil,
    CLIPVisionModel,
    Qwen2VLImageProcessorPil,
    Siglip2ImageProcessorPil,
    Siglip2VisionModel,
    SiglipImageProcessorPil,
    SiglipVisionModel,
    TimmWrapperConfig,
    TimmWrapperModel,
    ViTImageProcessorPil,
)
from transformers.models.qwen2_vl.configuration_qwen2_vl import Qwen2VLVisionConfig

from modalink.testing.checkpoints._drawn import SPREAD, save, square


def tiny_clip_vision(folder: Path | str, *, seed: int = 0, **config: Any) -> Path:
    """A CLIP vision tower (32 px, patch 8: 16 patches and a class token, 3 blocks, width 32) with its preprocessor."""
    side = config.get("image_size", 32)
    processor = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    return tiny_vision(folder, CLIPVisionModel, processor, seed=seed, **config)


def tiny_siglip_vision(folder: Path | str, *, seed: int = 0, **config: Any) -> Path:
    """A SigLIP vision tower: no class token, an attention-pooling head."""
    return tiny_vision(folder, SiglipVisionModel, SiglipImageProcessorPil(size=square(config)), seed=seed, **config)


def tiny_eva_g(folder: Path | str, *, seed: int = 0, **config: Any) -> Path:
    """BLIP-2's EVA ViT-g vision tower."""
    return tiny_vision(folder, Blip2VisionModel, BlipImageProcessorPil(size=square(config)), seed=seed, **config)


def tiny_vision(folder: Path | str, model: Any, processor: Any = None, *, seed: int = 0, **config: Any) -> Path:
    """Any tower (`ViTModel`, `Dinov2Model`, `BeitModel`, ...): 32 px, patch 8, three blocks of width 32."""
    settings = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
    settings |= {"image_size": 32, "patch_size": 8, "initializer_range": SPREAD} | config
    processor = processor or ViTImageProcessorPil(size=square(config))
    return save(folder, model, model.config_class(**settings), seed, processor)


def tiny_native(folder: Path | str, model: Any = Siglip2VisionModel, *, seed: int = 0, **config: Any) -> Path:
    """A tower that reads images at their own size (or a Qwen-VL's): 2 blocks of width 64, images of at most 32 tokens.

    Of Qwen2.5-VL's blocks the first sees windows, the second the whole image.
    """
    settings: dict[str, Any] = {"initializer_range": SPREAD}
    if model is Siglip2VisionModel:
        settings |= {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
        settings |= config
        processor: Any = Siglip2ImageProcessorPil(patch_size=settings.get("patch_size", 16), max_num_patches=32)
        return save(folder, model, model.config_class(**settings), seed, processor)
    settings |= {"hidden_size": 64, "num_heads": 4, "depth": 2}
    if model.config_class is Qwen2VLVisionConfig:
        settings |= {"embed_dim": 64}
    else:
        settings |= {"intermediate_size": 128, "out_hidden_size": 64}
        key = "fullatt_block_indexes" if "2_5" in model.config_class.model_type else "deepstack_visual_indexes"
        settings |= {key: [1]}
    tower = model.config_class(**(settings | config))
    side = tower.patch_size * tower.spatial_merge_size
    processor = Qwen2VLImageProcessorPil(patch_size=tower.patch_size, min_pixels=side**2, max_pixels=32 * side**2)
    return save(folder, model, tower, seed, processor)


def tiny_timm(
    folder: Path | str, architecture: str = "vit_tiny_patch16_224", *, seed: int = 0, **model_args: Any
) -> Path:
    """A timm model in transformers' wrapper; `model_args` go to timm's constructor (`img_size=32`, `depth=2`)."""
    config = TimmWrapperConfig.from_dict({"architecture": architecture, "num_classes": 0, "model_args": model_args})
    return save(folder, TimmWrapperModel, config, seed, None)

"""Tiny towers that read clips."""

from pathlib import Path
from typing import Any

from transformers import VideoMAEImageProcessorPil, VideoMAEModel, VivitModel

from modalink.testing.checkpoints._drawn import SPREAD, save


def tiny_video(folder: Path | str, model: Any = VideoMAEModel, *, seed: int = 0, **config: Any) -> Path:
    """A video tower (`VideoMAEModel`, `TimesformerModel`, `VivitModel`): clips of 4 frames of 32 px, patch 8."""
    settings: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    settings |= {"num_attention_heads": 4, "image_size": 32, "num_frames": 4, "initializer_range": SPREAD}
    patch = {"tubelet_size": [2, 8, 8]} if model is VivitModel else {"patch_size": 8}
    side = config.get("image_size", 32)
    processor = VideoMAEImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    return save(folder, model, model.config_class(**(settings | patch | config)), seed, processor)

"""Towers that read images at their own size: transformers' processors and towers, on the same pictures in one batch."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor, Qwen3VLVisionModel, Siglip2VisionModel
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VisionTransformerPretrainedModel

from modalink.encoders.native import NativeConfig
from modalink.ragged import Ragged
from modalink.testing import checkpoints

_MERGED = (Qwen2VisionTransformerPretrainedModel, Qwen2_5_VisionTransformerPretrainedModel, Qwen3VLVisionModel)


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Three pictures of different sizes."""
    generator = np.random.default_rng(0)
    shapes = ((100, 180, 3), (400, 90, 3), (40, 40, 3))
    pictures = [Image.fromarray(generator.integers(0, 256, shape, dtype=np.uint8)) for shape in shapes]
    for model in (Siglip2VisionModel, *_MERGED):
        place = checkpoints.tiny_native(folder / model.__name__, model)
        config = NativeConfig(checkpoint=str(place))
        preprocess = config.preprocessor()
        items = Ragged.of([preprocess(one) for one in pictures], [preprocess.layout(one) for one in pictures])
        batch = AutoImageProcessor.from_pretrained(place, backend="pil")(pictures, return_tensors="pt")
        tower = model.from_pretrained(place).eval()
        if model is Siglip2VisionModel:
            masks = batch["pixel_attention_mask"].bool()
            expected = torch.cat([s[m] for s, m in zip(tower(**batch).last_hidden_state, masks, strict=True)])
        else:
            expected = tower(batch["pixel_values"], grid_thw=batch["image_grid_thw"]).pooler_output
        yield f"transformers' `{model.__name__}`", config.build()(items).values, expected

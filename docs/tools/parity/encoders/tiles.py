"""Images tile by tile: LLaVA-NeXT's image processor, CLIP's tower and packing in transformers."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import CLIPVisionModel, LlamaConfig, LlavaNextConfig
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_next.modeling_llava_next import LlavaNextModel

from modalink.encoders.tiles import TilesConfig
from modalink.encoders.vision import VisionConfig
from modalink.ragged import Ragged
from modalink.testing import checkpoints


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """A wide picture of noise, in tiles of 32 px, without what fills them up."""
    place = checkpoints.tiny_clip_vision(folder)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 100, 3), dtype=np.uint8))
    config = TilesConfig(encoder=VisionConfig(checkpoint=str(place)), merge="spatial_unpad")
    preprocess = config.preprocessor()
    items = Ragged.of([preprocess(picture)], [preprocess.layout(picture)])
    pinpoints = [[32, 64], [64, 32], [64, 64], [96, 32], [32, 96]]
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    tiles = LlavaNextImageProcessorPil(**size, image_grid_pinpoints=pinpoints)(picture, return_tensors="pt")
    tower = CLIPVisionModel.from_pretrained(place).eval()
    states = tower(tiles.pixel_values[0], output_hidden_states=True).hidden_states[-2][:, 1:]
    text = LlamaConfig(hidden_size=32, num_attention_heads=4)
    with torch.device("meta"):
        model = LlavaNextModel(
            LlavaNextConfig(vision_config=tower.config, text_config=text, image_grid_pinpoints=pinpoints)
        )
    (packed,), _ = model.pack_image_features([states], [(40, 100)], "default")
    yield "transformers' `LlavaNextModel`, unpadded", config.build()(items).values, packed

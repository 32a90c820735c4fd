"""Pictures as frequencies: the same tower of transformers on the pixels of a picture half as large."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from transformers import SwinConfig, SwinModel, ViTImageProcessorPil

from modalink.encoders.frequency import FrequencyConfig
from modalink.ragged import Ragged

TOLERANCE = 1e-4
_MEAN, _STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Noise in grey over one colour: of colour the first layer keeps the mean of a patch alone."""
    torch.manual_seed(0)
    config = SwinConfig(
        image_size=64, patch_size=4, embed_dim=16, depths=[1, 1, 2, 1], num_heads=[2, 2, 4, 4], window_size=2
    )
    SwinModel(config).save_pretrained(folder)
    ViTImageProcessorPil(image_mean=_MEAN, image_std=_STD).save_pretrained(folder)
    noise = np.random.default_rng(0).integers(40, 160, (128, 128, 1))
    pixels = (noise + np.array([30, 0, 60])).astype(np.uint8)
    read = FrequencyConfig(checkpoint=str(folder), image_size=128)
    preprocess, picture = read.preprocessor(), Image.fromarray(pixels)
    items = Ragged.of([preprocess(picture)], [preprocess.layout(picture)])
    halved = functional.avg_pool2d(torch.from_numpy(pixels).permute(2, 0, 1).float() / 255, 2)
    normal = (halved - torch.tensor(_MEAN)[:, None, None]) / torch.tensor(_STD)[:, None, None]
    states = SwinModel.from_pretrained(folder).eval()(normal[None]).last_hidden_state
    yield "transformers' `SwinModel` on pixels", read.build()(items).values, states[0]

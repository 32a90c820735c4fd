"""Encoders side by side: each of them alone."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from transformers import CLIPVisionModel, SiglipVisionModel

from modalink.encoders.several import SeveralConfig
from modalink.encoders.vision import VisionConfig
from modalink.modalities import image
from modalink.ragged import Layout, Ragged
from modalink.testing import checkpoints


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """An image, joined along the width."""
    models = (CLIPVisionModel, SiglipVisionModel)
    places = checkpoints.tiny_clip_vision(folder / "clip"), checkpoints.tiny_siglip_vision(folder / "siglip")
    each = tuple(VisionConfig(checkpoint=str(place)) for place in places)
    config, picture, states = SeveralConfig(encoders=each), image.example(0), []
    for model, place, one in zip(models, places, each, strict=True):
        reference = model.from_pretrained(place).eval()
        state = reference(one.preprocessor()(picture), output_hidden_states=True).hidden_states[-2][0]
        states.append(state[len(state) - 16 :])
    items = Ragged.of([config.preprocessor()(picture)], [Layout.of_units(1)])
    reference = "transformers' `CLIPVisionModel` and `SiglipVisionModel`"
    yield reference, config.build()(items).values, torch.cat(states, dim=1)

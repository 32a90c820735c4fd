"""Image towers: hidden states of the classes of transformers and timm."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from transformers import (
    BeitModel,
    Blip2VisionModel,
    CLIPVisionModel,
    Dinov2Model,
    SiglipVisionModel,
    TimmWrapperModel,
    ViTModel,
)

from modalink.encoders.vision import VisionConfig
from modalink.testing import checkpoints

_NFNET = {"depths": (1,) * 4, "channels": (32, 32, 64, 64), "num_features": 24, "group_size": 8, "stem_chs": 16}
_EVA = {"img_size": 28, "depth": 3, "embed_dim": 32, "num_heads": 2}


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """The last hidden state, from CLIP's kin the one before, too."""
    towers = (CLIPVisionModel, SiglipVisionModel, Blip2VisionModel, ViTModel, Dinov2Model, BeitModel)
    for model in towers:
        place = checkpoints.tiny_vision(folder / model.__name__, model)
        images, reference = torch.randn(2, 3, 32, 32), model.from_pretrained(place).eval()
        states = reference(images, output_hidden_states=True).hidden_states
        config = VisionConfig(checkpoint=str(place), layer=-2)
        patches = states[-2][:, states[-2].shape[1] - 16 :]
        yield f"transformers' `{model.__name__}`", config.build().encode(images), patches
    place = checkpoints.tiny_timm(folder / "eva02", "eva02_tiny_patch14_224", **_EVA)
    images, tower = torch.randn(2, 3, 28, 28), TimmWrapperModel.from_pretrained(place).timm_model.eval()
    found = VisionConfig(checkpoint=str(place), layer="output").build().encode(images)
    yield "timm's `eva02_tiny_patch14_224`", found, tower.forward_features(images)[:, 1:]
    place = checkpoints.tiny_timm(folder / "nfnet", "nfnet_l0", **_NFNET)
    images, tower = torch.randn(2, 3, 64, 64), TimmWrapperModel.from_pretrained(place).timm_model.eval()
    found = VisionConfig(checkpoint=str(place), layer="output", image_size=64).build().encode(images)
    yield "timm's `nfnet_l0`", found, tower.forward_features(images).flatten(2).mT

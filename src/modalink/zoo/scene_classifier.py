"""A small network that reads a picture of the tiny world back into its objects, to score drawings."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from modalink.tiny_world.scenes import CELLS, COLOURS, SHAPES, SIZES, WorldObject
from modalink.zoo._classifier import Classifier

_CROP_PX = 30
_STRIDE_PX = 21
_OUTPUTS = (2, len(SHAPES), len(COLOURS), len(SIZES))


class SceneClassifierNet(nn.Module):
    """Looks at the nine cells one by one, with a margin around each, and names what stands there."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.width = width
        self.net = nn.Sequential(
            *_block(3, width, kernel=5),
            *_block(width, 2 * width, kernel=3),
            *_block(2 * width, 2 * width, kernel=3),
            nn.Flatten(),
            nn.Linear(2 * width * 16, 4 * width),
            nn.SiLU(),
            nn.Linear(4 * width, sum(_OUTPUTS)),
        )

    def forward(self, pixels: Float[Tensor, "b 3 64 64"]) -> Float[Tensor, "b 9 k"]:
        """Give logits of present, shape, colour and size, one after the other, for every cell.

        Args:
            pixels: pictures in -1..1.
        """
        margin = (_CROP_PX + 2 * _STRIDE_PX - pixels.shape[-1]) // 2
        padded = functional.pad(pixels, (margin,) * 4, mode="replicate")
        crops = padded.unfold(2, _CROP_PX, _STRIDE_PX).unfold(3, _CROP_PX, _STRIDE_PX)
        crops = crops.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
        logits: Tensor = self.net(crops)
        return logits.reshape(len(pixels), len(CELLS), sum(_OUTPUTS))


class SceneClassifier(Classifier[SceneClassifierNet]):
    """Reads pictures back into objects with a trained network."""

    part = "scene_classifier"
    network = SceneClassifierNet

    @torch.no_grad()
    def __call__(self, images: UInt8[np.ndarray, "b 64 64 3"]) -> list[list[WorldObject]]:
        """Name the objects of each picture in reading order.

        Args:
            images: RGB in 0..255.
        """
        pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
        found: list[list[WorldObject]] = []
        for chunk in torch.split(pixels, 256):
            parts = torch.split(self.net(chunk), list(_OUTPUTS), dim=-1)
            found += [_objects(picture) for picture in torch.stack([p.argmax(-1) for p in parts], dim=-1).tolist()]
        return found


def _objects(cells: list[list[int]]) -> list[WorldObject]:
    return [
        WorldObject(SHAPES[shape], COLOURS[colour], SIZES[size], CELLS[cell])
        for cell, (present, shape, colour, size) in enumerate(cells)
        if present
    ]


def _block(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel, stride=2, padding=kernel // 2), nn.GroupNorm(8, outputs), nn.SiLU()]

"""Pictures rendered ahead: a fixed number of scenes of a split with their pictures, drawn again for each build."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from modalink.tiny_world.rendering import object_mask, render
from modalink.tiny_world.scenes import Scene, sample_scene


@dataclass(frozen=True)
class Pool:
    """Scenes and, in the same order, their pictures."""

    scenes: list[Scene]
    pictures: UInt8[np.ndarray, "n 64 64 3"]

    @classmethod
    def render(cls, split: str, count: int, *, first: int = 0, augment: bool = False) -> "Pool":
        """Draw the scenes number `first` up to `first + count` of a split, with a shaky hand under `augment`."""
        scenes = [sample_scene(first + i, split) for i in range(count)]
        drawn = [render(scene, augment_seed=first + i if augment else None) for i, scene in enumerate(scenes)]
        return cls(scenes, np.stack(drawn))

    def masks(self) -> UInt8[np.ndarray, "n 64 64"]:
        """How much of each pixel is object, 0 to 255."""
        return np.stack([(object_mask(scene) * 255).astype(np.uint8) for scene in self.scenes])

    def pixels(self, rows: np.ndarray | slice) -> Float[Tensor, "b 3 64 64"]:
        """Pictures of some rows, float32 in -1..1."""
        return as_pixels(self.pictures[rows])


def as_pixels(pictures: UInt8[np.ndarray, "b 64 64 3"]) -> Float[Tensor, "b 3 64 64"]:
    """Turn RGB pictures of 0..255 into channels-first float32 in -1..1."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1

"""Videos frame by frame: the image encoder on each frame alone."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from transformers import CLIPVisionModel

from modalink.encoders._sampling import FramesSpec
from modalink.encoders.frames import FramesConfig
from modalink.encoders.vision import VisionConfig
from modalink.modalities import video
from modalink.ragged import Ragged
from modalink.testing import checkpoints

TOLERANCE = 1e-5
"""Another batch size may take other kernels."""


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Three frames of a video."""
    place = checkpoints.tiny_clip_vision(folder)
    tower, frames = VisionConfig(checkpoint=str(place)), FramesSpec(count=3)
    config, clip = FramesConfig(encoder=tower, frames=frames), video.example(0)
    preprocess = config.preprocessor()
    items = Ragged.of([preprocess(clip)], [preprocess.layout(clip)])
    reference, read = CLIPVisionModel.from_pretrained(place).eval(), tower.preprocessor()
    images = [read(frame) for frame in clip.frames(frames.times_s(clip))]
    states = [reference(image, output_hidden_states=True).hidden_states[-2][0, 1:] for image in images]
    yield "transformers' `CLIPVisionModel`, frame by frame", config.build()(items).values, torch.cat(states)

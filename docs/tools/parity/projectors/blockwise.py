"""A projector for each frame: the same projector on each frame alone, and another on all that came of them."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from modalink.projectors.inputs.blockwise import BlockwiseConfig
from modalink.projectors.inputs.linear import LinearConfig
from modalink.projectors.inputs.mlp import MlpConfig
from modalink.ragged import Layout, Ragged

TOLERANCE = 1e-5
"""Another batch size may take other kernels."""


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """A video of three frames and an image."""
    videos = [Layout(3, (4, 4, 4), (2, 2)), Layout(1, (4,), (2, 2))]
    features = torch.randn(16, 12)
    config = BlockwiseConfig(each=MlpConfig(), whole=LinearConfig(pool="space"), width=8)
    ours = config.build(dim_in=12, dim_out=16, example=videos[0])
    frames = [ours.each(Ragged.of([frame], [videos[1]])).values.mean(0) for frame in features.split(4)]
    expected = ours.whole.linear(torch.stack(frames))
    yield "its parts, frame by frame", ours(Ragged(features, (12, 4), tuple(videos))).values, expected

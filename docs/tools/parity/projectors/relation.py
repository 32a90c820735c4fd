"""Relation aggregators: the numbers of OpenGVLab/Ask-Anything@4dd8210.

They were made so: `VisionTransformer` of video_chat/models/eva_vit.py with two global blocks of width 16, 2 heads and
feed-forward layers of 32, no local ones, in evaluation mode, its own two blocks replaced by ones that give the tokens
below; then a LayerNorm. Each of the tensors was drawn for its name by `seeded.drawn`. Names and shapes are in
`relation.json`, and what was made of the items below, to six places.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import seeded
import torch
from torch import Tensor

from modalink.projectors.inputs.identity import IdentityConfig
from modalink.projectors.inputs.relation import RelationConfig
from modalink.ragged import Layout, Ragged

TOLERANCE = 1e-5
"""The original computes attention in another order."""


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """A picture, the frames of a video, and both in one batch; a frame is a class token and 2 x 2 patches."""
    numbers = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    config = RelationConfig(layers=2, heads=2, feed_forward=32, whole=IdentityConfig())
    items = [seeded.tokens(Layout(frames, (5,) * frames), 32) for frames in (1, 3)]
    ours = seeded.borrowed(config, numbers["tensors"], folder, dim_in=32, dim_out=16, example=items[1].layouts[0])
    for what, item in zip(("a picture", "a video"), items, strict=True):
        yield f"VideoChat's code, {what}", ours(item).values, torch.tensor(numbers[what])
    both = ours(Ragged.of([each.values for each in items], [each.layouts[0] for each in items])).values
    expected = torch.tensor(numbers["a picture"] + numbers["a video"])
    yield "VideoChat's code, both in one batch", both, expected

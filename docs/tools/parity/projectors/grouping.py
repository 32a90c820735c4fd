"""The grouping: the numbers of NExT-GPT/NExT-GPT@60d618b, without the noise of training.

They were made so: `GroupProjector` of nextgpt/model/multimodal_projector/projector.py, 16 wide in the place of 512,
with 8 heads, depths of 2, 1 and 1, and 6 and 4 groups, from a width of 12 to 20, in evaluation mode, each tensor
drawn for its name by `seeded.drawn`. Names and shapes are in `grouping.json`, and what it made of the items below, to
six places.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import seeded
import torch
from torch import Tensor

from modalink.projectors.inputs.grouping import GroupingConfig

TOLERANCE = 1e-5
"""The original computes attention in another order."""


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """A picture, and the frames of a video, one behind the other."""
    numbers = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    config = GroupingConfig(width=16, heads=8, depths=(2, 1, 1), groups=(6, 4), feed_forward=64)
    ours = seeded.borrowed(config, numbers["tensors"], folder, dim_in=12, dim_out=20)
    for what, layout in (("a picture", seeded.IMAGE), ("a video", seeded.VIDEO)):
        found = ours(seeded.tokens(layout, 12)).values
        yield f"NExT-GPT's code, {what}", found, torch.tensor(numbers[what])

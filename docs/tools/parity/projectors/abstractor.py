"""The visual abstractor: the numbers of X-PLUG/mPLUG-Owl@0f3068f.

They were made so: `MplugOwlVisualAbstractorModel` of mPLUG-Owl/mplug_owl/modeling_mplug_owl.py, 2 layers of width 16, 4
heads and feed-forward layers of 24, for an LLM of width 20, in evaluation mode, each of its tensors, and the queries
that it is given, drawn for their names by `seeded.drawn`. Names and shapes are in `abstractor.json`, and what it made
of the items below, to six places.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import seeded
import torch
from torch import Tensor

from modalink.projectors.inputs.abstractor import AbstractorConfig

TOLERANCE = 1e-5
"""The original computes attention in another order."""


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """A picture, and the frames of a video, one behind the other."""
    numbers = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    config = AbstractorConfig(queries=6, layers=2, heads=4, feed_forward=24)
    ours = seeded.borrowed(config, numbers["tensors"], folder, dim_in=16, dim_out=20)
    for what, layout in (("a picture", seeded.IMAGE), ("a video", seeded.VIDEO)):
        found = ours(seeded.tokens(layout, 16)).values
        yield f"mPLUG-Owl's code, {what}", found, torch.tensor(numbers[what])

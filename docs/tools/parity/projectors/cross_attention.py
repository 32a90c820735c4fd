"""Qwen-VL's adapter: the numbers of its code as Yuliang-Liu/Monkey@498e1d9 has it.

They were made so: `Resampler` of monkey_model/visual.py, 3 x 3 queries of width 16, 4 heads, for an encoder of width
12, then `ln_post` and `proj` as its `VisionTransformer` has them, each tensor but `pos_embed` drawn for its name by
`seeded.drawn`. Names and shapes are in `cross_attention.json`, and what it made of the items below, to six places.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import seeded
import torch
from torch import Tensor

from modalink.projectors.inputs.cross_attention import CrossAttentionConfig
from modalink.ragged import Layout

TOLERANCE = 1e-5
"""The original computes attention in another order."""


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Tokens on another grid than the queries', whose places are interpolated, and on the same."""
    numbers = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    config = CrossAttentionConfig(side=3, heads=4)
    ours = seeded.borrowed(config, numbers["tensors"], folder, dim_in=12, dim_out=16)
    for what, layout in (("a grid of 4 x 4", seeded.IMAGE), ("a grid of 3 x 3", Layout(1, (9,), (3, 3)))):
        found = ours(seeded.tokens(layout, 12)).values
        yield f"Qwen-VL's code, {what}", found, torch.tensor(numbers[what])

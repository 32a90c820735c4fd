"""Means of encoder tokens over space and over time, without parameters: few prompt tokens for many frames.

Source: Video-ChatGPT (arXiv 2306.05424), section 3.1, which keeps both; frames are not padded to a fixed number here.
"""

from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from modalink.errors import PartError
from modalink.ragged import Layout, Ragged

Pool = Literal["space", "time", "space_time"]
"""Of two frames of two tokens, `ab` and `cd`: `space` gives `(a+b)/2`, `(c+d)/2`, a token a frame; `time` gives
`(a+c)/2`, `(b+d)/2`, a token a place; `space_time` gives first those, then these."""


def pooled_layout(pool: Pool | None, item: Layout) -> Layout:
    """How an item lies once its tokens are averaged.

    Raises:
        PartError: Its blocks have different numbers of tokens, or are tiles, which no time orders.
    """
    if pool is None:
        return item
    if item.tiles is not None or len({*item.blocks}) != 1:
        found = f"tiles {item.tiles}" if item.tiles is not None else f"blocks of {item.blocks} tokens"
        raise PartError(f"pool: found {found}, needed frames of as many tokens each; leave pool out")
    frames, places = (1,) * len(item.blocks), item.blocks[:1]
    if pool == "space":
        return replace(item, blocks=frames, grid=None, grids=None)
    if pool == "time":
        return replace(item, blocks=places, grids=None, times_s=None if item.times_s is None else item.times_s[:1])
    return replace(item, blocks=(*frames, *places), grid=None, grids=None, times_s=None)


def pooled(pool: Pool | None, features: Ragged) -> Ragged:
    """The averaged tokens of each item."""
    if pool is None:
        return features
    layouts = [pooled_layout(pool, item) for item in features.layouts]
    items = zip(features, features.layouts, strict=True)
    return Ragged.of([_means(pool, item.unflatten(0, (len(layout.blocks), -1))) for item, layout in items], layouts)


def _means(pool: Pool, frames: Float[Tensor, "f p d"]) -> Float[Tensor, "n d"]:
    match pool:
        case "space":
            return frames.mean(1)
        case "time":
            return frames.mean(0)
    return torch.cat([frames.mean(1), frames.mean(0)])

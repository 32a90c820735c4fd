"""Continuous integrate-and-fire (CIF, arXiv 1905.11235): many frames become few tokens, wherever enough was heard.

Each frame has a weight. Weights are added up through time; whenever their sum reaches one, a token fires: the sum of
the frames since the last one, each by its weight, that of the frame in between divided between both tokens.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from modalink.devices import to_device


def integrate_and_fire(
    frames: Float[Tensor, "i p d"], weights: Float[Tensor, "i p"], counts: Sequence[int]
) -> Float[Tensor, "i n d"]:
    """The tokens of items, all of them at once.

    The weights of an item are scaled to the sum of its count, as the paper does in training, so that as many tokens
    fire, and the last one at the last frame. A frame whose weight is then more than one is in several tokens.

    Args:
        frames: What is integrated.
        weights: Not negative, more than zero in sum; zero for the filling of a batch.
        counts: How many tokens fire of each item.

    Returns:
        Tokens, zero behind those of an item.
    """
    sums = weights.float().cumsum(1)
    target = to_device(torch.tensor(counts, dtype=sums.dtype)[:, None], sums.device)
    ends = sums / sums[:, -1:] * target
    starts = torch.nn.functional.pad(ends, (1, 0))[:, :-1]
    # A frame lies from its start to its end on a line on which token n lies from n to n + 1: how much they share.
    places = torch.arange(max(counts), device=sums.device)[:, None]
    shares = (torch.minimum(ends[:, None], places + 1) - torch.maximum(starts[:, None], places)).clamp_min(0)
    return shares.to(frames.dtype) @ frames

"""How far vectors are from those that they shall be: what alignment and regression minimise."""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

Distance = Literal["mse", "cosine"]
"""`mse`: mean squared difference. `cosine`: one minus the cosine."""


def distances(
    distance: Distance, made: Float[Tensor, "i ..."], wanted: Float[Tensor, "i ..."], mask: Tensor | None = None
) -> Float[Tensor, " i"]:
    """The distance of each item, float32: the mean over its vectors.

    Args:
        distance: Which.
        made: A sequence of vectors an item, or one vector, which is a sequence of one.
        wanted: As many of the same width.
        mask: Which vectors of each item count, `[i, l]`; all, if not given.
    """
    made, wanted = (values.float().reshape(len(values), -1, values.shape[-1]) for values in (made, wanted))
    if distance == "mse":
        found = (made - wanted).square().mean(dim=2)
    else:
        found = 1 - functional.cosine_similarity(made, wanted, dim=-1)
    return _mean(found, mask)


def _mean(values: Float[Tensor, "i l"], mask: Bool[Tensor, "i l"] | None) -> Float[Tensor, " i"]:
    if mask is None:
        return values.mean(dim=1)
    return values.where(mask, 0.0).sum(dim=1) / mask.sum(dim=1).clamp(min=1)

"""Neighbourhoods in clouds of points: centres that lie far from each other, and the points nearest to each."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

_AT_ONCE = 2**24
"""Distances that are computed together."""


@torch.no_grad()
def farthest(points: Float[Tensor, "n 3"], count: int) -> Int64[Tensor, " {count}"]:
    """The places of points that are far from each other: the first, and always the one farthest from all before.

    Of fewer points than are wanted, or of equal ones, some are taken again.
    """
    nearest = torch.full((len(points),), torch.inf, device=points.device)
    chosen = torch.zeros(count, dtype=torch.int64, device=points.device)
    for number in range(1, count):
        nearest = torch.minimum(nearest, (points - points[chosen[number - 1]]).square().sum(1))
        chosen[number] = nearest.argmax()
    return chosen


@torch.no_grad()
def neighbours(points: Float[Tensor, "n 3"], centres: Float[Tensor, "g 3"], count: int) -> Int64[Tensor, "g {count}"]:
    """The places of the points nearest to each centre; of fewer than are wanted, the nearest one again."""
    found = []
    for some in centres.split(max(1, _AT_ONCE // len(points))):
        distances = sum((some[:, None, axis] - points[None, :, axis]).square() for axis in range(3))
        assert isinstance(distances, Tensor)
        found.append(distances.topk(min(count, len(points)), largest=False).indices)
    places = torch.cat(found)
    return torch.cat([places, places[:, :1].expand(-1, count - places.shape[1])], dim=1)


def groups(
    points: Float[Tensor, "n c"], count: int, size: int
) -> tuple[Float[Tensor, "{count} {size} c"], Float[Tensor, "{count} 3"]]:
    """Neighbourhoods of a cloud, each seen from its centre, and the centres.

    Args:
        points: x, y and z, and perhaps more, of each point.
        count: How many neighbourhoods.
        size: Points of each.
    """
    places = points[:, :3]
    centres = places[farthest(places, count)]
    members = points[neighbours(places, centres, size)]
    seen = torch.cat([members[..., :3] - centres[:, None], members[..., 3:]], dim=-1)
    return seen, centres

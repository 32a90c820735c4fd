"""A small network that reads a point cloud of the tiny world back into its solids, to score clouds that were made."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modalink.modalities._point_units import PointsPreprocessor
from modalink.modalities.points import Cloud
from modalink.tiny_world.scenes import COLOURS, SIZES
from modalink.tiny_world.solids.bodies import PLACES, POSES, SOLIDS, Solid
from modalink.tiny_world.solids.sculpting import PLACE, POINTS
from modalink.zoo import _classifier

FORMS = (len(SOLIDS), len(SIZES), len(POSES))
SLOT_POINTS = 128
"""Points that it sees of one solid."""
_BINS = 24
_LEAST = 16
"""Points that a solid has at least."""


class SolidClassifierNet(nn.Module):
    """Sees where solids stand, then the points of each alone: their places for its form, their shades for colour."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.width = width
        self.where = nn.Sequential(nn.Linear(_BINS, width), nn.SiLU(), nn.Linear(width, 2))
        self.point = nn.Sequential(
            nn.Linear(3, width), nn.SiLU(), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, 4 * width)
        )
        self.form = nn.Sequential(nn.Linear(8 * width, 2 * width), nn.SiLU(), nn.Linear(2 * width, sum(FORMS)))
        self.colour = nn.Sequential(nn.Linear(3, width), nn.SiLU(), nn.Linear(width, len(COLOURS)))

    def layout(self, across: Float[Tensor, "b n"]) -> Float[Tensor, "b 2"]:
        """Logits of one solid in the centre, and of two beside it.

        Args:
            across: How far to the right the points of each cloud lie.
        """
        places = ((across + 1) * (_BINS / 2)).long().clamp(0, _BINS - 1)
        counts = torch.zeros(len(across), _BINS).scatter_add(1, places, torch.ones_like(across))
        logits: Tensor = self.where(counts / across.shape[1] * 10)
        return logits

    def forward(self, points: Float[Tensor, "b n 6"]) -> Float[Tensor, "b k"]:
        """Logits of solid, size, pose and colour, one after the other, for the points of one solid around its place."""
        states = self.point(points[..., :3])
        form = self.form(torch.cat([states.amax(1), states.mean(1)], dim=-1))
        return torch.cat([form, self.colour(points[..., 3:].mean(1))], dim=-1)


class SolidClassifier(_classifier.Classifier[SolidClassifierNet]):
    """Reads point clouds and meshes back into solids with a trained network."""

    part = "solid_classifier"
    network = SolidClassifierNet

    @torch.no_grad()
    def __call__(self, clouds: Sequence[Cloud]) -> list[list[Solid]]:
        """Name the solids of each cloud from left to right; of a mesh, points of its surface are looked at."""
        look = PointsPreprocessor(POINTS, colors=True, missing_color=0.5, in_unit_ball=False)
        return [self._solids(look(cloud)) for cloud in clouds]

    def _solids(self, cloud: Float[Tensor, "n 6"]) -> list[Solid]:
        beside = bool(self.net.layout(cloud[None, :, 0]).argmax())
        found = []
        for place in PLACES[1:] if beside else PLACES[:1]:
            points = around(cloud, place)
            if len(points) >= _LEAST:
                parts = self.net(points[None])[0].split([*FORMS, len(COLOURS)])
                solid, size, pose, colour = (int(part.argmax()) for part in parts)
                found.append(Solid(SOLIDS[solid], COLOURS[colour], SIZES[size], POSES[pose], place))
        return found


def around(cloud: Float[Tensor, "n 6"], place: str) -> Float[Tensor, "k 6"]:
    """The points that belong to a place, seen from it."""
    side = cloud[:, 0] * PLACE[place] >= 0
    points = cloud[side][:SLOT_POINTS].clone()
    points[:, 0] -= PLACE[place]
    return points

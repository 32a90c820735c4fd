"""The table of marching cubes that the renderers of the zoo and of tiny pipelines have."""

from collections import Counter

import pytest
import torch
from diffusers.pipelines.shap_e.renderer import MeshDecoder

from modalink.zoo.build.marching_cubes import marching_cubes


@pytest.mark.parametrize("seed", range(3))
def test_surfaces_are_closed_and_turned_outwards(seed: int) -> None:
    """Every edge of a triangle is that of another, the other way around, in noise, which has nearly all ways."""
    decoder = MeshDecoder()
    decoder.cases, decoder.masks = marching_cubes()
    field = torch.full((12, 12, 12), -1.0)
    field[1:-1, 1:-1, 1:-1] = torch.randn(10, 10, 10, generator=torch.Generator().manual_seed(seed))
    mesh = decoder(field, torch.full((3,), -1.0), torch.full((3,), 2.0))
    edges = Counter(tuple(edge) for face in mesh.faces.tolist() for edge in (face[:2], face[1:], [face[2], face[0]]))
    assert all(edges[other, one] == count for (one, other), count in edges.items())


def test_a_ball_has_the_volume_of_one() -> None:
    decoder = MeshDecoder()
    decoder.cases, decoder.masks = marching_cubes()
    places = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, 24)] * 3, indexing="ij"))
    mesh = decoder(0.7 - places.norm(dim=0), torch.full((3,), -1.0), torch.full((3,), 2.0))
    one, two, three = mesh.verts[mesh.faces].unbind(1)
    volume = (one * torch.linalg.cross(two, three)).sum() / 6
    assert abs(volume / (4 / 3 * torch.pi * 0.7**3) - 1) < 0.02


def test_as_many_triangles_as_in_the_usual_table() -> None:
    """820 of them, none for a cube all inside or all outside (Bourke, Polygonising a scalar field)."""
    _, there = marching_cubes()
    assert int(there.sum()) == 820
    assert there.sum(1)[[0, 255]].tolist() == [0, 0]

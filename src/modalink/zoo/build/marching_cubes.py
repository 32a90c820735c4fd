"""The table of marching cubes that Shap-E's renderer reads, which diffusers leaves empty."""

from itertools import pairwise

import torch
from torch import Tensor


def marching_cubes() -> tuple[Tensor, Tensor]:
    """The triangles of the 256 ways in which the corners of a cube lie inside a shape, as diffusers reads them.

    On each face the surface turns around every run of corners inside, so that it is closed from cube to cube; around
    the cube these turns are closed rings, each a fan of triangles that are seen counter-clockwise from outside.

    Returns:
        Edges of up to five triangles, int64 [256, 5, 3], and which of these are there, bool [256, 5].
    """
    cases, masks = torch.zeros(256, 5, 3, dtype=torch.long), torch.zeros(256, 5, dtype=torch.bool)
    for case in range(256):
        triangles = [(ring[0], *pair) for ring in _rings(case) for pair in pairwise(ring[1:])]
        for number, triangle in enumerate(triangles):
            cases[case, number], masks[case, number] = torch.tensor(triangle), True
    return cases, masks


def _rings(case: int) -> list[list[int]]:
    """The edges that the surface crosses around a cube, in order; bit `x + 2 y + 4 z` is a corner inside."""
    following: dict[int, int] = {}
    for axis in range(3):
        one, other = 1 << (axis + 1) % 3, 1 << (axis + 2) % 3
        for corners in ([0, other, one + other, one], [(1 << axis) + way for way in (0, one, one + other, other)]):
            inside = [bool(case >> corner & 1) for corner in corners]
            edges = [_edge(corners[i], corners[(i + 1) % 4]) for i in range(4)]
            for entry in (i for i in range(4) if not inside[i] and inside[(i + 1) % 4]):
                leave = next(i % 4 for i in range(entry + 1, entry + 4) if not inside[(i + 1) % 4])
                following[edges[entry]] = edges[leave]
    rings = []
    while following:
        first, edge = following.popitem()
        rings.append([first])
        while edge != first:
            rings[-1].append(edge)
            edge = following.pop(edge)
    return rings


def _edge(one: int, other: int) -> int:
    """The number of the edge between two corners: four along x, four along y and four along z."""
    corner, axis = min(one, other), (one ^ other).bit_length() - 1
    first, second = ([1, 2], [0, 2], [0, 1])[axis]
    return 4 * axis + (corner >> first & 1) + 2 * (corner >> second & 1)

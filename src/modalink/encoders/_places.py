"""Where in a picture a token looks: what moves when one cell of the picture is drawn anew.

It is the gradient of the tokens with respect to the picture, in steps of whole cells: forward passes in a batch, which
every class can do.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

_AT_ONCE = 9
_SURE = 0.9
"""Least correlation of where tokens look with where they lie; what lies in another order is below 0.6."""
_SHARP = 0.5
"""Tokens that owe more than this to one cell look sharply, and must look at their own."""
_BESIDE = 0.65
"""Patches by which all tokens may look beside where they lie: strides with padding on one side move them by half a
patch, which is measured as 0.3 to 0.5; a whole patch is measured as 0.7 to 1."""


def influence(
    encode: Callable[[Tensor], Tensor], unit: Tensor, axes: tuple[int, int], cells: int
) -> Float[Tensor, "cells2 ..."]:
    """How much each number of a result moves with each cell of a picture.

    Args:
        encode: Units `[u ...]` to results `[u ...]`.
        unit: One unit.
        axes: Axes of the unit along which rows and columns of the picture lie.
        cells: Into how many rows and columns the picture is cut.

    Returns:
        Squared changes `[cells * cells, ...]`, cells row by row.
    """
    fresh = torch.randn(unit.shape, generator=torch.Generator().manual_seed(1))
    changed = []
    for number in range(cells * cells):
        picture = unit.clone()
        part, new = picture, fresh
        for axis, place in zip(axes, divmod(number, cells), strict=True):
            start, end = (edge * unit.shape[axis] // cells for edge in (place, place + 1))
            part, new = part.narrow(axis, start, end - start), new.narrow(axis, start, end - start)
        part.copy_(new)
        changed.append(picture)
    before = encode(unit[None])
    after = [encode(torch.stack(changed[i : i + _AT_ONCE])) for i in range(0, len(changed), _AT_ONCE)]
    return (torch.cat(after) - before).double().square()


def misplaced(seen: Float[Tensor, "cells2 n"], grid: tuple[int, int]) -> str:
    """What is wrong with tokens that should lie on a grid, row by row; empty where each looks at its own place.

    Args:
        seen: How much each token moves with each cell of a square of cells.
        grid: Rows and columns of the tokens.
    """
    if not seen.isfinite().all():
        return "its tokens are not finite"
    straight, swapped = _correlations(seen, grid)
    if min(straight) >= _SURE:
        return "" if _at_home(seen, grid) else "its tokens look beside their own places"
    if min(map(abs, swapped)) >= _SURE:
        return "its rows and columns are swapped"
    if min(map(abs, straight)) >= _SURE:
        return "its grid is mirrored"
    return "its tokens do not look at their places in the picture, row by row"


def in_order(seen: Float[Tensor, "cells2 n"], grid: tuple[int, int]) -> bool:
    """Whether tokens lie on a grid, row by row, be it beside their own places."""
    return min(_correlations(seen, grid)[0]) >= _SURE


def _correlations(seen: Tensor, grid: tuple[int, int]) -> tuple[list[float], list[float]]:
    """How rows and columns at which tokens look go with those where they lie; and with the other ones."""
    lies, cells = _row_by_row(grid), _row_by_row((round(len(seen) ** 0.5),) * 2)
    # A cell that moves all tokens says nothing of where they lie.
    looks = _centres(seen / seen.mean(1, keepdim=True).clamp_min(1e-300), cells)
    straight = [_correlation(*pair) for pair in zip(lies, looks, strict=True)]
    return straight, [_correlation(*pair) for pair in zip(lies, looks[::-1], strict=True)]


def _row_by_row(grid: tuple[int, int]) -> list[Tensor]:
    """Row and column of each number of a grid."""
    number = torch.arange(grid[0] * grid[1])
    return [number // grid[1], number % grid[1]]


def _centres(weights: Float[Tensor, "cells2 n"], cells: list[Tensor]) -> list[Tensor]:
    """The row and the column at which each token looks on the whole."""
    weights = weights / weights.sum(0).clamp_min(1e-300)
    return [(place.double()[:, None] * weights).sum(0) for place in cells]


def _correlation(lies: Tensor, looks: Tensor) -> float:
    """Correlation of places; 1 along an axis with one row, where nothing can be in the wrong order."""
    if lies.min() == lies.max():
        return 1.0
    return float(torch.corrcoef(torch.stack([lies.double(), looks]))[0, 1].nan_to_num(0))


def _at_home(seen: Tensor, grid: tuple[int, int]) -> bool:
    """Whether tokens look at their own patches, not at the next ones; sharp ones at a cell that theirs touches."""
    cells = round(len(seen) ** 0.5)
    lies, edges = _row_by_row(grid), _row_by_row((cells, cells))
    looks = _centres((seen - seen.median(1, keepdim=True).values).clamp_min(0), edges)
    beside = [_beside(place, look, tokens, cells) for place, look, tokens in zip(lies, looks, grid, strict=True)]
    if max(map(abs, beside)) > _BESIDE:
        return False
    sharpness = seen.amax(0) / seen.sum(0).clamp_min(1e-300)
    if sharpness.median() < _SHARP:
        return True
    peak = seen.argmax(0)
    rows, columns = (
        _touches(place + shift, tokens, edge[peak], cells)
        for place, shift, tokens, edge in zip(lies, beside, grid, edges, strict=True)
    )
    return (rows & columns).double().mean().item() >= _SURE


def _beside(lies: Tensor, looks: Tensor, tokens: int, cells: int) -> float:
    """How many patches tokens look beside where they lie along an axis, all of them alike.

    What moves all tokens draws them to the middle, and they seem to look less far aside than they do. To make up for
    that would exaggerate what is not known of towers whose tokens see the whole picture.
    """
    return float(((looks + 0.5) / cells - (lies + 0.5) / tokens).mean() * tokens)


def _touches(token: Tensor, tokens: int, cell: Tensor, cells: int) -> Tensor:
    """Whether the strip of a token overlaps that of a cell."""
    return (token * cells < (cell + 1) * tokens) & (cell * tokens < (token + 1) * cells)

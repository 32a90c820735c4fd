"""A learned token behind each row of an image's tokens, so that the LLM sees where rows end; and one in front of all.

Sources: LLaVA-NeXT's `image_newline`, behind the rows of the merged tiles and not of the thumbnail; LLaVA-OneVision
(arXiv 2408.03326) also has one behind an image that is not cut, and behind a video; CogVLM (arXiv 2311.03079) one in
front of an image and one behind.
"""

from typing import Literal

import torch
from torch import nn

from modalink.devices import to_device
from modalink.errors import PartError
from modalink.ragged import Grid, Layout, Ragged

Newline = Literal["row", "block", "item", "tile_row"]
"""Of the rows `ab / cd` and a newline `n`: `row` gives `abn cdn`, `block` and `item` `abcdn`; `block` has one behind
each tile or frame, `item` one behind the last; `tile_row` is `row` for an image in tiles and `item` for all else."""


def broken_layout(newline: Newline | None, item: Layout) -> Layout:
    """How an item lies with its newlines.

    Raises:
        PartError: Rows are asked of tokens without a grid.
    """
    if newline is None:
        return item
    lines = _lines(newline, item)
    if _rule(newline, item) == "row":
        return item.on_grids(
            [(rows, columns + (n > 0)) for (rows, columns), n in zip(_grids(item), lines, strict=True)]
        )
    blocks = tuple(tokens + count for tokens, count in zip(item.blocks, lines, strict=True))
    return Layout(item.units, blocks, tiles=item.tiles, times_s=item.times_s, thumbnail_last=item.thumbnail_last)


class Newlines(nn.Module):
    """The learned token, and where it stands.

    Args:
        newline: Behind what.
        dim: Width of the tokens.
    """

    def __init__(self, newline: Newline, dim: int) -> None:
        super().__init__()
        self.newline = newline
        self.token = nn.Parameter(torch.randn(dim) * dim**-0.5)

    def forward(self, tokens: Ragged) -> Ragged:
        """The tokens with newlines among them."""
        places, start, last = [], 0, len(tokens.values)
        for item in tokens.layouts:
            for count, lines in zip(item.blocks, _lines(self.newline, item), strict=True):
                own = torch.arange(start, start + count)
                if lines:
                    rows = own.view(lines, -1)
                    own = torch.cat([rows, rows.new_full((lines, 1), last)], dim=1).flatten()
                places.append(own)
                start += count
        values = torch.cat([tokens.values, self.token.to(tokens.values.dtype)[None]])
        layouts = [broken_layout(self.newline, item) for item in tokens.layouts]
        return tokens.with_values(values[to_device(torch.cat(places), values.device)], layouts)


def started_layout(item: Layout) -> Layout:
    """How an item lies with a token in front: part of its first block, which lies on no grid then."""
    blocks = (item.blocks[0] + 1, *item.blocks[1:])
    return Layout(item.units, blocks, tiles=item.tiles, times_s=item.times_s, thumbnail_last=item.thumbnail_last)


class Start(nn.Module):
    """The learned token in front of each item.

    Args:
        dim: Width of the tokens.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(dim) * dim**-0.5)

    def forward(self, tokens: Ragged) -> Ragged:
        """The tokens, each item begun by that token."""
        start = self.token.to(tokens.values.dtype)[None]
        values = torch.cat([part for item in tokens for part in (start, item)])
        return tokens.with_values(values, [started_layout(item) for item in tokens.layouts])


def _lines(newline: Newline, item: Layout) -> list[int]:
    """How many newlines stand in each block."""
    newline = _rule(newline, item)
    if newline == "row":
        return [0 if number == item.thumbnail else rows for number, (rows, _) in enumerate(_grids(item))]
    last = len(item.blocks) - 1
    return [int(newline == "block" or number == last) for number in range(last + 1)]


def _rule(newline: Newline, item: Layout) -> Newline:
    """What an item's newlines stand behind."""
    if newline != "tile_row":
        return newline
    return "item" if item.tiles is None else "row"


def _grids(item: Layout) -> list[Grid]:
    grids = [grid for grid in item.block_grids if grid is not None]
    if len(grids) < len(item.blocks):
        raise PartError("newline: rows need tokens on a grid; set keep_cls: false, or newline: block")
    return grids

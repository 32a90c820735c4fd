"""Items of any length in one batch: their units in one row, one item after the other, with lengths on the host.

An item is units of one shape: the tiles of an image, the frames of a video, the windows of a sound, the points of a
cloud. How many units it has, and how many tokens come of them, is its own, and known before anything is encoded.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from modalink.devices import to_device
from modalink.errors import PartError

Grid = tuple[int, int]
"""Rows and columns."""


@dataclass(frozen=True)
class Layout:
    """How one item lies: its units, and the tokens that come of them, in blocks (of a tile, a frame, a window).

    Args:
        units: How many units of one shape the item has.
        blocks: Tokens of each block, in reading order.
        grid: Rows and columns of a block's tokens, where all lie on one grid.
        tiles: Rows and columns of the blocks, where they are tiles of one image; one block more is the whole image,
            its thumbnail, and stands first.
        times_s: When each block begins, in seconds, where blocks have times.
        grids: Rows and columns of each block's tokens, where they differ; `grid` is None then.
        thumbnail_last: Whether the thumbnail stands behind the tiles.
        size_px: Height and width of the image in pixels, where they decide which of its tokens stay.
    """

    units: int
    blocks: tuple[int, ...]
    grid: Grid | None = None
    tiles: Grid | None = None
    times_s: tuple[float, ...] | None = None
    grids: tuple[Grid, ...] | None = None
    thumbnail_last: bool = False
    size_px: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        found = len(self.blocks)
        if self.units < 1 or not found or min(self.blocks) < 1:
            raise PartError(f"found an item of {self.units} units and blocks of {self.blocks} tokens, needed some")
        if self.grid and {*self.blocks} != {self.grid[0] * self.grid[1]}:
            raise PartError(f"found a grid of {self.grid} and blocks of {self.blocks} tokens, needed as many in each")
        if self.grids and (self.grid or self.blocks != tuple(rows * columns for rows, columns in self.grids)):
            raise PartError(f"found grids of {self.grids} and blocks of {self.blocks} tokens, needed as many in each")
        if self.tiles and found - self.tiles[0] * self.tiles[1] not in (0, 1):
            raise PartError(f"found {found} blocks and tiles {self.tiles}, needed one a tile, or one more")
        if self.times_s and len(self.times_s) != found:
            raise PartError(f"found {found} blocks and {len(self.times_s)} times, needed as many")

    @classmethod
    def of_units(
        cls,
        units: int,
        *,
        tiles: Grid | None = None,
        times_s: tuple[float, ...] | None = None,
        thumbnail_last: bool = False,
        size_px: tuple[int, int] | None = None,
    ) -> Self:
        """The layout of an item before an encoder: each unit is a block of one."""
        blocks = (1,) * units
        return cls(units, blocks, tiles=tiles, times_s=times_s, thumbnail_last=thumbnail_last, size_px=size_px)

    def repeated(self, times_s: Sequence[float]) -> "Layout":
        """As many of the same, one after the other, each with its time: what a frame is, for a video's frames.

        Raises:
            PartError: It is several blocks.
        """
        if len(self.blocks) != 1:
            raise PartError(f"found {len(self.blocks)} blocks in one frame of a video, needed one; "
                            "let its encoder read whole images")  # fmt: skip
        count = len(times_s)
        return Layout(self.units * count, self.blocks * count, self.grid, times_s=tuple(times_s))

    @property
    def tokens(self) -> int:
        """How many tokens the item has."""
        return sum(self.blocks)

    @property
    def untimed(self) -> "Layout":
        """The same without times, which decide no shape."""
        return replace(self, times_s=None)

    @property
    def thumbnail(self) -> int | None:
        """Which block is the whole image beside its tiles, if one is."""
        if self.tiles is None or len(self.blocks) == self.tiles[0] * self.tiles[1]:
            return None
        return len(self.blocks) - 1 if self.thumbnail_last else 0

    @property
    def block_grids(self) -> tuple[Grid | None, ...]:
        """Rows and columns of each block's tokens; None of those that lie on no grid."""
        return self.grids or (self.grid,) * len(self.blocks)

    def each(self, tokens: int, grid: Grid | None = None) -> "Layout":
        """The same blocks, of so many tokens each."""
        return replace(self, blocks=(tokens,) * len(self.blocks), grid=grid, grids=None)

    def on_grids(self, grids: Sequence[Grid], *, tiles: Grid | None = None) -> "Layout":
        """Blocks of tokens on these grids, so many rows and columns of tiles; as many blocks as before, if not said."""
        blocks, same = tuple(rows * columns for rows, columns in grids), len({*grids}) == 1
        grid, each = (grids[0], None) if same else (None, tuple(grids))
        return replace(self, blocks=blocks, grid=grid, grids=each, tiles=tiles or self.tiles)


@dataclass(frozen=True)
class Ragged:
    """The rows of several items, one item after the other.

    Args:
        values: Rows of all items: units before an encoder, tokens behind it.
        lengths: How many rows each item has; on the host, so that nobody waits for a device to know them.
        layouts: How each item lies.
    """

    values: Shaped[Tensor, "rows ..."]
    lengths: tuple[int, ...]
    layouts: tuple[Layout, ...]

    def __post_init__(self) -> None:
        if len(self.values) != sum(self.lengths) or len(self.lengths) != len(self.layouts):
            raise PartError(
                f"found {len(self.values)} rows and {len(self.layouts)} layouts for items of {self.lengths} rows, "
                f"needed {sum(self.lengths)} rows and {len(self.lengths)} layouts"
            )

    @classmethod
    def of(cls, items: Sequence[Tensor], layouts: Sequence[Layout]) -> Self:
        """Items `[rows ...]` joined; all but the number of rows must be the same in all.

        Raises:
            PartError: Units differ in shape.
        """
        shapes = sorted({tuple(item.shape[1:]) for item in items})
        if len(shapes) != 1:
            raise PartError(f"found units of the shapes {shapes}, needed items of one batch to have one")
        return cls(torch.cat(list(items)), tuple(map(len, items)), tuple(layouts))

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.values.split(list(self.lengths)))

    @cached_property
    def is_even(self) -> bool:
        """Whether all items have as many rows."""
        return len({*self.lengths}) == 1

    def stack(self) -> Shaped[Tensor, "i rows ..."]:
        """The items as one tensor, where all have as many rows.

        Raises:
            PartError: They have not.
        """
        if not self.is_even:
            raise PartError(f"found items of {self.lengths} rows, needed as many in each")
        return self.values.unflatten(0, (len(self), self.lengths[0]))

    def padded(self) -> tuple[Shaped[Tensor, "i longest ..."], Bool[Tensor, "i longest"]]:
        """The items as rows filled with zeros to the longest, and which places hold something."""
        values = torch.nn.utils.rnn.pad_sequence(list(self), batch_first=True)
        lengths = torch.tensor(self.lengths)[:, None]
        return values, to_device(torch.arange(max(self.lengths)) < lengths, values.device)

    def take(self, places: Sequence[int]) -> "Ragged":
        """The items at some places, in their order; one may be named twice."""
        items = list(self)
        return Ragged.of([items[i] for i in places], [self.layouts[i] for i in places])

    def with_values(self, values: Shaped[Tensor, "rows ..."], layouts: Sequence[Layout]) -> "Ragged":
        """Other rows for the same items: as many a item as its layout has tokens."""
        return Ragged(values, tuple(layout.tokens for layout in layouts), tuple(layouts))

    def by_item(self, change: Callable[[Tensor], Tensor], layouts: Sequence[Layout]) -> "Ragged":
        """Each item `[n ...]` changed: together `[i n ...]` where all have as many rows, else one by one."""
        if self.is_even:
            return self.with_values(change(self.stack()).flatten(0, 1), layouts)
        return self.with_values(torch.cat([change(item[None])[0] for item in self]), layouts)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Ragged":
        """The same items on a device, in a type."""
        values = self.values if device is None else to_device(self.values, device)
        return replace(self, values=values.to(dtype=dtype))


def by_shape(items: Sequence[Tensor], compute: Callable[[Tensor, list[int]], Tensor]) -> Shaped[Tensor, "i ..."]:
    """What is computed of items, those of one shape together.

    Args:
        items: Tensors of any shapes.
        compute: Gives a row for each of some items of one shape: of them in a stack, and of their places.

    Returns:
        The rows in the order of the items.
    """
    groups: dict[torch.Size, list[int]] = {}
    for place, item in enumerate(items):
        groups.setdefault(item.shape, []).append(place)
    rows: dict[int, Tensor] = {}
    for places in groups.values():
        rows.update(zip(places, compute(torch.stack([items[i] for i in places]), places), strict=True))
    return torch.stack([rows[place] for place in range(len(items))])

"""Any image encoder, tile by tile: a large image becomes the tokens of its tiles and of its thumbnail, a block each.

LLaVA-NeXT's `anyres`, InternVL's dynamic tiles and Monkey's windows are settings of it, see docs/encoders.md.
"""

from dataclasses import replace
from math import prod
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from modalink.encoders._probing import verify
from modalink.encoders._sampling import FramesPreprocessor
from modalink.encoders._tiling import TilesPreprocessor, TilesSpec, squares
from modalink.errors import PartError
from modalink.ragged import Layout, Ragged
from modalink.recipe.kind_field import Kinds
from modalink.roles import Encoder, EncoderConfig

Merge = Literal["flat", "spatial", "spatial_unpad"]


class TilesConfig(EncoderConfig):
    """Settings of an image encoder that reads images tile by tile; videos are read as its own encoder reads them."""

    kind: Literal["tiles"] = "tiles"
    checkpoint: Literal["none"] = "none"
    """None of its own: its encoder has one."""
    encoder: Annotated[EncoderConfig, Kinds("modalink.encoders", inside="tiles", without=("video", "several"))]
    """What reads each tile; with `kind: frames` also videos, frame by frame and untiled."""
    tiles: TilesSpec = TilesSpec(grids=((1, 2), (2, 1), (2, 2), (3, 1), (1, 3)))
    """Into which tiles an image is cut; LLaVA-NeXT's, if not set."""
    merge: Merge = "flat"
    """`flat`: a block of tokens for each tile; `spatial`: one block of all tiles, row by row over the whole image;
    `spatial_unpad`: the same without tokens of padding alone (LLaVA-NeXT)."""

    def reads(self) -> frozenset[str]:
        """What its encoder reads."""
        return self._each.reads()

    def tiny(self) -> "TilesConfig":
        """The tiny form of its encoder, on few tiles."""
        return self.model_copy(update={"encoder": self.encoder.tiny(), "tiles": self.tiles.at_most(4)})

    def windows(self) -> int:
        """The tiles of its grid, where it has one alone."""
        grids = self.tiles.candidates
        return prod(grids[0]) if len(grids) == 1 else 0

    def checkpoints(self) -> tuple[tuple[str, str | None], ...]:
        """Its encoder's checkpoints."""
        return self.encoder.checkpoints()

    def build(self, *, weights: bool = True) -> Encoder:
        """Its encoder, which takes tiles for images; where tiles are merged, with that behind it.

        Raises:
            PartError: It reads no squares, or its tokens lie on no grid and cannot be merged.
        """
        layout = self.typical()
        return self._merged(self._each.build(weights=weights), layout)

    def side_px(self) -> int | None:
        """Its encoder's, of a tile."""
        return self._each.side_px()

    def sized(self, side_px: int) -> "TilesConfig":
        """The same with its encoder for tiles of another side."""
        return self.model_copy(update={"encoder": self.encoder.sized(side_px)})

    def adapted(self, encoder: Encoder) -> Encoder:
        """As its encoder's, with the same behind it."""
        inner = encoder.encoder if isinstance(encoder, MergingEncoder) else encoder
        return self._merged(self._each.adapted(inner), self.typical())

    def describe(self) -> dict[str, Any]:
        """What decides how its encoder's outputs lie, and how they are merged."""
        return {"merge": self.merge, "encoder": self._each.describe()}

    def miniature(self) -> Encoder | None:
        """Its encoder's miniature, with the same behind it.

        Raises:
            PartError: Its encoder is refused.
        """
        verify(self._each)
        small = self._each.miniature()
        return None if small is None else self._merged(small, self.typical())

    def preprocessor(self) -> TilesPreprocessor:
        """How images are cut, and what their tiles go through.

        Raises:
            PartError: Its encoder reads no squares.
        """
        others = self._each.preprocessor()
        square = squares(others.each if isinstance(others, FramesPreprocessor) else others)
        return TilesPreprocessor(self.tiles, square, others, keeps_size=self.merge == "spatial_unpad")

    def typical(self) -> Layout:
        """Those of an image of 1024 x 768 px."""
        return self.preprocessor().layout_of((1024, 768))

    def _merged(self, encoder: Encoder, example: Layout) -> Encoder:
        if self.merge == "flat":
            return encoder
        merging = MergingEncoder(encoder)
        merging.layout(example)
        return merging

    @property
    def _each(self) -> EncoderConfig:
        """What reads a tile, of an encoder that reads more than images."""
        return self.encoder.for_modality("image")


class MergingEncoder(Encoder):
    """The tokens of all tiles of an image as one block, row by row over the whole image; its thumbnail as another.

    Of 1 row of 2 tiles, `ab / ef` and `cd / gh`, it makes `abcd / efgh`. Items without tiles stay as they are.

    Args:
        encoder: What reads each tile.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.dim, self.unit_shape, self.facts = encoder.dim, encoder.unit_shape, encoder.facts
        self.unread = frozenset(f"encoder.{name}" for name in encoder.unread)

    def layout(self, item: Layout) -> Layout:
        """A block for all tiles, another for the thumbnail.

        Raises:
            PartError: The tokens of a tile lie on no grid.
        """
        before = self.encoder.layout(item)
        if before.tiles is None:
            return before
        if before.grid is None:
            raise PartError("tiles: merged tiles need tokens on a grid; set keep_cls: false, or merge: flat")
        top, bottom, left, right = kept(before)
        whole = (bottom - top, right - left)
        grids = [whole] if before.thumbnail is None else [before.grid, whole]
        merged = before.on_grids(grids[::-1] if before.thumbnail_last else grids, tiles=(1, 1))
        return replace(merged, size_px=None)

    def forward(self, items: Ragged) -> Ragged:
        """Encode tiles, then merge those of each image."""
        tokens = self.encoder(items)
        layouts = [self.layout(layout) for layout in items.layouts]
        pairs = zip(tokens, tokens.layouts, strict=True)
        return items.with_values(torch.cat([_merged(own, layout) for own, layout in pairs]), layouts)


def kept(item: Layout) -> tuple[int, int, int, int]:
    """Which rows and columns of all tiles' tokens show the image: top, bottom, left, right.

    Padding is left out by halves that are rounded down, so that a row of padding may stay; a row of the image never
    goes.
    """
    assert item.tiles is not None and item.grid is not None
    rows, columns = (tiles * tokens for tiles, tokens in zip(item.tiles, item.grid, strict=True))
    if item.size_px is None:
        return 0, rows, 0, columns
    height, width = item.size_px
    if width / height > columns / rows:
        edge = (rows - max(1, int(round(height * (columns / width), 7)))) // 2
        return edge, rows - edge, 0, columns
    edge = (columns - max(1, int(round(width * (rows / height), 7)))) // 2
    return 0, rows, edge, columns - edge


def _merged(tokens: Float[Tensor, "n d"], item: Layout) -> Float[Tensor, "m d"]:
    if item.tiles is None or item.grid is None:
        return tokens
    blocks = list(tokens.split(item.blocks))
    thumbnail = [] if item.thumbnail is None else [blocks.pop(item.thumbnail)]
    (rows, columns), (height, width) = item.tiles, item.grid
    lines = torch.stack(blocks).view(rows, columns, height, width, -1).transpose(1, 2)
    top, bottom, left, right = kept(item)
    whole = lines.reshape(rows * height, columns * width, -1)[top:bottom, left:right].flatten(0, 1)
    return torch.cat([whole, *thumbnail] if item.thumbnail_last else [*thumbnail, whole])

"""Into which tiles an image is cut, so that an encoder of small squares reads it large; with the whole as a thumbnail.

Sources: LLaVA-NeXT (arXiv 2310.03744, section 4, and its `anyres`), InternVL 1.5 (arXiv 2404.16821, section 3.3),
Monkey (arXiv 2311.06607, section 3.1).
"""

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
from jaxtyping import Float
from PIL import Image
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from modalink.errors import PartError
from modalink.kinds import Settings
from modalink.modalities.image import ImageHandle
from modalink.ragged import Grid, Layout
from modalink.roles import MediumHandle, Preprocessor, SquarePreprocessor, Window

_MOST = 100
"""Most tiles of one image."""
Size = tuple[int, int]
"""Width and height, as PIL has them."""


class TilesSpec(Settings):
    """Into which tiles an image is cut.

    Of an image of 800 x 400 px and tiles of 336 px, LLaVA-NeXT's `grids` give 1 row of 2 tiles, and the thumbnail.
    """

    grids: tuple[Grid, ...] | None = None
    """Rows and columns that are chosen among: LLaVA-NeXT's `image_grid_pinpoints` (height, width), counted in tiles."""
    most: int | None = Field(default=None, ge=1, le=_MOST)
    """In the place of `grids`: all rows and columns that make at most as many tiles."""
    fewest: int = Field(default=1, ge=1, le=_MOST)
    """Fewest tiles of those."""
    choose: Literal["resolution", "ratio"] = "resolution"
    """`resolution`: the grid in which most pixels of the image stay, and of these the one that wastes least
    (LLaVA-NeXT); `ratio`: the one whose proportions are nearest to the image's (InternVL)."""
    fit: Literal["pad", "stretch"] = "pad"
    """`pad`: the image keeps its proportions and black fills the rest; `stretch`: it fills all tiles."""
    thumbnail: Literal["first", "last", "none"] = "first"
    """Where the whole image stands, stretched to one tile; a stretched image that is one tile has none beside it."""
    several: Literal["tiles", "padded"] = "tiles"
    """How images are read of which a conversation has more than one: in `tiles`, too, or each as one square, `padded`
    with the mean colour (LLaVA-OneVision)."""

    @field_validator("grids")
    @classmethod
    def _counts_tiles(cls, grids: tuple[Grid, ...] | None) -> tuple[Grid, ...] | None:
        if grids is not None and not grids:
            raise ValueError("found no grids, needed at least one [rows, columns]")
        for rows, columns in grids or ():
            if min(rows, columns) < 1 or rows * columns > _MOST:
                raise ValueError(
                    f"found [{rows}, {columns}], needed rows and columns of 1 to {_MOST} tiles; where these are "
                    "pixels (image_grid_pinpoints), divide them by the side of a tile"
                )
        return grids

    @model_validator(mode="after")
    def _says_the_grids_once(self) -> "TilesSpec":
        if (self.grids is None) == (self.most is None):
            raise ValueError("needs either grids, or most: the largest number of tiles")
        if self.most is not None and self.fewest > self.most:
            raise ValueError(f"found fewest: {self.fewest} and most: {self.most}, needed no more than that")
        if self.grids is not None and self.fewest != 1:
            raise ValueError("fewest goes with most; leave it out beside grids")
        return self

    @property
    def candidates(self) -> tuple[Grid, ...]:
        """The grids that are chosen among; of equally good ones the first, or by `ratio` also a later one."""
        if self.grids is not None:
            return self.grids
        most = self.most or 1
        pairs = [(rows, columns) for columns in range(1, most + 1) for rows in range(1, most // columns + 1)]
        return tuple(sorted((p for p in pairs if math.prod(p) >= self.fewest), key=math.prod))

    def at_most(self, tiles: int) -> "TilesSpec":
        """The same with few tiles, for tiny forms."""
        if self.grids is None:
            return self.replace(most=min(tiles, self.most or 1), fewest=min(tiles, self.fewest))
        small = tuple(grid for grid in self.grids if math.prod(grid) <= tiles)
        return self.replace(grids=small or ((1, tiles),))

    def grid(self, size: Size, side: int) -> Grid:
        """Rows and columns of tiles for an image.

        Args:
            size: Its width and height in pixels.
            side: Side of a tile in pixels.
        """
        best = _by_resolution if self.choose == "resolution" else _by_ratio
        return best(self.candidates, size, side)

    def canvas(self, image: Image.Image, size: Size, resample: Image.Resampling) -> Image.Image:
        """The image at the size of all its tiles."""
        if self.fit == "stretch":
            return image.resize(size, resample)
        inner = _fitted(image.size, size)
        canvas = Image.new("RGB", size)
        corner = ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2)
        canvas.paste(image.resize(inner, resample), corner)
        return canvas

    def window(self, size: Size, canvas: Size) -> Window:
        """What all tiles of an image show of it: with `fit: pad`, black beside it too.

        Args:
            size: Its width and height in pixels.
            canvas: Those of all tiles together.
        """
        if self.fit == "stretch":
            return 0.0, 0.0, float(size[0]), float(size[1])
        (left, right), (top, bottom) = (
            (-((whole - px) // 2) * length / px, (whole - (whole - px) // 2) * length / px)
            for whole, px, length in zip(canvas, _fitted(size, canvas), size, strict=True)
        )
        return left, top, right, bottom


def _fitted(size: Size, canvas: Size) -> Size:
    """Width and height of an image scaled to fit a canvas in its own proportions."""
    across, down = canvas[0] / size[0], canvas[1] / size[1]
    if across < down:
        return canvas[0], min(math.ceil(size[1] * across), canvas[1])
    return min(math.ceil(size[0] * down), canvas[0]), canvas[1]


def _by_resolution(grids: Iterable[Grid], size: Size, side: int) -> Grid:
    def rank(grid: Grid) -> tuple[int, int]:
        height, width = grid[0] * side, grid[1] * side
        scale = min(width / size[0], height / size[1])
        stays = min(int(size[0] * scale) * int(size[1] * scale), size[0] * size[1])
        return stays, stays - width * height

    return max(grids, key=rank)


def _by_ratio(grids: Iterable[Grid], size: Size, side: int) -> Grid:
    """Of equally near ones the one of more tiles, as long as the image has half their pixels."""
    nearest, best = math.inf, (1, 1)
    for rows, columns in grids:
        distance = abs(size[0] / size[1] - columns / rows)
        larger = distance == nearest and size[0] * size[1] > 0.5 * side * side * rows * columns
        if distance < nearest or larger:
            nearest, best = distance, (rows, columns)
    return best


class TilesPreprocessor(Preprocessor):
    """Tiles of an image as units, row by row, and the whole image as one more; other media as they always are.

    Args:
        tiles: Into which tiles an image is cut.
        square: What makes a unit of a tile.
        others: What is done to media that are no images.
        keeps_size: Whether the layout tells the image's size, because padding is left out later.
    """

    def __init__(self, tiles: TilesSpec, square: SquarePreprocessor, others: Preprocessor, keeps_size: bool) -> None:
        self.tiles, self.square, self.others = tiles, square, others
        self.keeps_size = keeps_size and tiles.fit == "pad"

    def layout(self, medium: Any) -> Layout:
        """A unit for each tile, and one for the thumbnail."""
        return self.layout_of(medium.size) if _is_image(medium) else self.others.layout(medium)

    def window_of(self, size: Size) -> Window:
        """The whole image, where a thumbnail shows it or padding is left out later; else what all tiles show."""
        rows, columns = grid = self.tiles.grid(size, self.square.side)
        if self.keeps_size or self._has_thumbnail(grid):
            return super().window_of(size)
        return self.tiles.window(size, (columns * self.square.side, rows * self.square.side))

    def layout_of(self, size: Size) -> Layout:
        """How the units of an image of some width and height lie."""
        grid = self.tiles.grid(size, self.square.side)
        units = math.prod(grid) + self._has_thumbnail(grid)
        size_px = (size[1], size[0]) if self.keeps_size else None
        return Layout.of_units(units, tiles=grid, thumbnail_last=self._is_last(grid), size_px=size_px)

    def __call__(self, medium: Any) -> Float[Tensor, "u ..."]:
        """The units of one medium."""
        if not _is_image(medium):
            return self.others(medium)
        image, side, resample = medium.convert("RGB"), self.square.side, self.square.resample
        rows, columns = grid = self.tiles.grid(image.size, side)
        canvas = self.tiles.canvas(image, (columns * side, rows * side), resample)
        corners = [(column * side, row * side) for row in range(rows) for column in range(columns)]
        pieces = [canvas.crop((left, top, left + side, top + side)) for left, top in corners]
        if self._has_thumbnail(grid):
            pieces.insert(len(pieces) if self._is_last(grid) else 0, image.resize((side, side), resample))
        return torch.cat([self.square.exact(piece) for piece in pieces])

    def units(self, handle: MediumHandle) -> Float[Tensor, "u ..."]:
        """The units of an opened medium."""
        return self(handle.read()) if _is_image(handle) else self.others.units(handle)

    def among(self, count: int) -> Preprocessor:
        """The same, or for one of several images what makes one square of it."""
        if count < 2 or self.tiles.several == "tiles":
            return self
        return UntiledPreprocessor(self.square.padded(), self.others)

    def seeded(self, seed: int) -> Preprocessor:
        """The same; what is drawn of other media is fixed."""
        others = self.others.seeded(seed)
        return self if others is self.others else TilesPreprocessor(self.tiles, self.square, others, self.keeps_size)

    def to_dict(self) -> dict[str, Any]:
        """All that decides the result."""
        return {
            "tiles": self.tiles.model_dump(mode="json"),
            "square": self.square.to_dict(),
            "others": self.others.to_dict(),
        }

    def _has_thumbnail(self, grid: Grid) -> bool:
        return self.tiles.thumbnail != "none" and (grid != (1, 1) or self.tiles.fit == "pad")

    def _is_last(self, grid: Grid) -> bool:
        return self.tiles.thumbnail == "last" and self._has_thumbnail(grid)


class UntiledPreprocessor(Preprocessor):
    """One square of each image; other media as they always are.

    Args:
        square: What makes the square.
        others: What is done to media that are no images.
    """

    def __init__(self, square: SquarePreprocessor, others: Preprocessor) -> None:
        self.square, self.others = square, others

    def layout(self, medium: Any) -> Layout:
        """A unit of an image."""
        return self._of(medium).layout(medium)

    def window_of(self, size: Size) -> Window:
        """What the square shows."""
        return self.square.window_of(size)

    def __call__(self, medium: Any) -> Float[Tensor, "u ..."]:
        """The units of one medium."""
        return self._of(medium)(medium)

    def units(self, handle: MediumHandle) -> Float[Tensor, "u ..."]:
        """The units of an opened medium."""
        return self._of(handle).units(handle)

    def seeded(self, seed: int) -> Preprocessor:
        """The same; what is drawn of other media is fixed."""
        return UntiledPreprocessor(self.square, self.others.seeded(seed))

    def to_dict(self) -> dict[str, Any]:
        """All that decides the result."""
        return {"square": self.square.to_dict(), "others": self.others.to_dict()}

    def _of(self, medium: Any) -> Preprocessor:
        return self.square if _is_image(medium) else self.others


def squares(each: Preprocessor) -> SquarePreprocessor:
    """What makes the unit of a tile.

    Raises:
        PartError: An encoder's images are no squares of one side.
    """
    if not isinstance(each, SquarePreprocessor):
        raise PartError("tiles: found an encoder that does not read squares of one side, of which tiles could be made")
    return each


def _is_image(medium: Any) -> bool:
    return isinstance(medium, ImageHandle | Image.Image)

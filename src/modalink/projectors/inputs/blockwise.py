"""A projector for each frame by itself, then another over all of them; also for tiles, clips and windows of sound.

Sources: Video-LLaMA (arXiv 2306.02858, section 2.1.1): a Q-Former for each frame, positions of frames, a second
Q-Former; InstructBLIP (arXiv 2305.06500, section 3.5) and X-LLM (arXiv 2305.04160) have the first alone; Monkey (arXiv
2311.06607) one resampler for each window.
"""

from typing import Annotated, Any, ClassVar, Literal

from modalink.errors import PartError
from modalink.kinds import Width
from modalink.projectors.inputs._borrowing import Origin
from modalink.projectors.inputs._holding import HoldingConfig
from modalink.projectors.inputs._positions import Positions, PositionsSpec
from modalink.ragged import Layout, Ragged
from modalink.recipe.kind_field import Kinds
from modalink.roles import InputProjector, InputProjectorConfig

_ORIGINS = (
    Origin(r"(?:module\.)?video_frame_position_embedding\.", {r"": "positions.table."}),
    Origin(r"(?:module\.)?audio_position_embedding\.", {r"": "positions.table."}),
)
"""Positions of frames and of windows of sound: Video-LLaMA, whose files hold one of both."""


class BlockwiseConfig(HoldingConfig):
    """Settings of projectors one after the other; `checkpoint` is that of the positions between them."""

    origins: ClassVar[tuple[Origin, ...]] = _ORIGINS

    kind: Literal["blockwise"] = "blockwise"
    each: Annotated[InputProjectorConfig, Kinds("modalink.projectors.inputs", inside="blockwise")] | None = None
    """Projects the tokens of each block (frame, tile, window), as if it were an item of its own; if not set, they go on
    as they are, as the clips of a sound in Video-LLaMA."""
    whole: Annotated[InputProjectorConfig, Kinds("modalink.projectors.inputs", inside="blockwise")] | None = None
    """Projects all that came of an item's blocks; if not set, it stands one block after the other."""
    width: Width = 768
    """Width between the two; without `each` it is the encoder's."""
    positions: PositionsSpec | None = None
    """Where each block stands, added before `whole`; nothing if not set."""

    def own_sections(self) -> tuple[str, ...]:
        """The two, and what stands between them."""
        own = {"each": self.each is not None, "positions": self.positions is not None, "whole": self.whole is not None}
        return tuple(name for name, there in own.items() if there)

    def borrows(self) -> tuple[str, ...]:
        """Positions are what a checkpoint of its own holds."""
        return ("positions",)

    def inner(self) -> dict[str, InputProjectorConfig]:
        """The two that are there."""
        return {name: config for name, config in (("each", self.each), ("whole", self.whole)) if config is not None}

    def tiny(self) -> "BlockwiseConfig":
        """The tiny forms of both."""
        return self.model_copy(update={**self.tiny_inner(), "width": min(128, self.width)})

    def layout(self, item: Layout) -> Layout:
        """What `whole` makes of what `each` makes of the blocks."""
        between = self.between(item)
        if self.positions is not None:
            self.positions.check(between)
        return between if self.whole is None else self.whole.layout(between)

    def between(self, item: Layout) -> Layout:
        """How an item lies once each of its blocks is projected: as many blocks."""
        made = blocks_of(item) if self.each is None else [self.each.layout(block) for block in blocks_of(item)]
        lies = Layout(
            item.units,
            tuple(layout.tokens for layout in made),
            tiles=item.tiles,
            times_s=item.times_s,
            thumbnail_last=item.thumbnail_last,
        )
        grids = [layout.grid for layout in made if len(layout.blocks) == 1 and layout.grid is not None]
        return lies.on_grids(grids) if len(grids) == len(made) else lies

    def build(self, *, dim_in: int, dim_out: int, example: Layout) -> "BlockwiseProjector":
        """New projectors between these widths.

        Raises:
            PartError: Neither of the two is set, or a checkpoint and no learned positions that it could be of.
        """
        if not self.inner():
            raise PartError("blockwise: found neither `each` nor `whole`, needed at least one projector")
        if self.checkpoint is not None and (self.positions is None or self.positions.form != "learned"):
            raise PartError("blockwise: its checkpoint is that of learned positions, and it has none; set positions")
        self.layout(example)
        return BlockwiseProjector(self, dim_in, dim_out, example)


class BlockwiseProjector(InputProjector):
    """The projectors, one after the other."""

    def __init__(self, config: BlockwiseConfig, dim_in: int, dim_out: int, example: Layout) -> None:
        super().__init__()
        self.config = config
        width = dim_in if config.each is None else dim_out if config.whole is None else config.width
        self.each: Any = None
        if config.each is not None:
            self.each = config.each.build(dim_in=dim_in, dim_out=width, example=blocks_of(example)[0])
        self.positions = None if config.positions is None else Positions(config.positions, width)
        self.whole: Any = None
        if config.whole is not None:
            self.whole = config.whole.build(dim_in=width, dim_out=dim_out, example=config.between(example))

    def forward(self, features: Ragged, texts: Ragged | None = None) -> Ragged:
        """Project the features of items."""
        between = features if self.each is None else self._between(features, texts)
        if self.positions is not None:
            between = self.positions(between)
        if self.whole is None:
            return between
        projected: Ragged = self.whole(between, texts)
        return projected

    def _between(self, features: Ragged, texts: Ragged | None) -> Ragged:
        """Each block through the first projector."""
        blocks = [block for item in features.layouts for block in blocks_of(item)]
        owners = [number for number, item in enumerate(features.layouts) for _ in item.blocks]
        alone = Ragged(features.values, tuple(block.tokens for block in blocks), tuple(blocks))
        made: Ragged = self.each(alone, texts if texts is None else texts.take(owners))
        return features.with_values(made.values, [self.config.between(item) for item in features.layouts])


def blocks_of(item: Layout) -> list[Layout]:
    """Each block of an item as an item of its own."""
    times_s = item.times_s or (None,) * len(item.blocks)
    each = zip(item.blocks, item.block_grids, times_s, strict=True)
    return [Layout(1, (tokens,), grid, times_s=None if time is None else (time,)) for tokens, grid, time in each]

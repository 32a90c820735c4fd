"""Relation aggregators of videos: a learned token that reads all frames, layer after layer, and goes on with them.

The encoder is read at several of its last layers, `kind: vision` with `layer: [-8, ..., -1]`. A block stands behind
each of these: the token reads all that the frames are there, among which patches learned of their neighbours in space
and time. The frames' tokens of the last layer and, behind them, the token go through one norm to a further projector.

Sources: UniFormerV2 (arXiv 2211.09552, section 3.3) as VideoChat has it (arXiv 2305.06355, section 3.2), by
OpenGVLab/Ask-Anything@4dd8210, video_chat/models/eva_vit.py, there within the encoder, from which nothing comes back
into the frozen layers.
"""

import math
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from modalink.errors import PartError
from modalink.kinds import Count, Width
from modalink.projectors.inputs._borrowing import Origin
from modalink.projectors.inputs._holding import HoldingConfig
from modalink.projectors.inputs._resampling import attend
from modalink.ragged import Grid, Layout, Ragged
from modalink.recipe.kind_field import Kinds
from modalink.roles import InputProjector, InputProjectorConfig

_BLOCK = {
    r"(\d+)\.dpe\.": r"blocks.\1.neighbours.",
    r"(\d+)\.attn\.in_proj_(weight|bias)$": r"blocks.\1.query+key+value.\2",
    r"(\d+)\.attn\.out_proj\.": r"blocks.\1.out.",
    r"(\d+)\.ln_1\.": r"blocks.\1.norm_token.",
    r"(\d+)\.ln_3\.": r"blocks.\1.norm_frames.",
    r"(\d+)\.ln_2\.": r"blocks.\1.feed_forward.0.",
    r"(\d+)\.mlp\.c_fc\.": r"blocks.\1.feed_forward.1.",
    r"(\d+)\.mlp\.c_proj\.": r"blocks.\1.feed_forward.4.",
}
_ORIGINS = (
    Origin(
        r"(?:module\.)?visual_encoder\.gmhra\.",
        _BLOCK,
        beside={r"(?:module\.)?visual_encoder\.gmhra_cls_token$": "token", r"(?:module\.)?ln_vision\.": "norm."},
    ),
    Origin(r"(?:model\.)?vision_model\.post_layernorm\.", {r"": "norm."}),
)
"""VideoChat's authors, and BLIP-2 of transformers, which holds the norm alone (`without: [token, blocks]`)."""


class RelationConfig(HoldingConfig):
    """Settings of relation aggregators and of what reads the tokens behind them; defaults are VideoChat's."""

    origins: ClassVar[tuple[Origin, ...]] = _ORIGINS

    kind: Literal["relation"] = "relation"
    layers: Count = 8
    """Blocks, as many as layers of the encoder are read."""
    heads: Count = 16
    feed_forward: Width | None = None
    """Width of the feed-forward layers; four times the encoder's if not set."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of a feed-forward layer's values that are dropped in training."""
    whole: Annotated[InputProjectorConfig, Kinds("modalink.projectors.inputs", inside="relation")]
    """Projects the tokens of all frames and the one that read them."""

    def inner(self) -> dict[str, InputProjectorConfig]:
        """What projects the tokens."""
        return {"whole": self.whole}

    def own_sections(self) -> tuple[str, ...]:
        """The token that reads, the blocks, the norm behind them, and the projector."""
        return ("token", "blocks", "norm", "whole")

    def borrows(self) -> tuple[str, ...]:
        """All but the projector, which has a checkpoint of its own."""
        return ("token", "blocks", "norm")

    def tiny(self) -> "RelationConfig":
        """The tiny form of the projector behind two narrow blocks."""
        few = {"layers": min(2, self.layers), "heads": min(4, self.heads), "feed_forward": 128}
        return self.model_copy(update=self.tiny_inner() | few)

    def layout(self, item: Layout) -> Layout:
        """What the projector makes of all tokens and one more.

        Raises:
            PartError: The tokens of a block are no square of patches.
        """
        _patches(item)
        return self.whole.layout(self.between(item))

    def between(self, item: Layout) -> Layout:
        """How an item lies before the projector: in one block, which has no grid."""
        return Layout(item.units, (item.tokens + 1,))

    def build(self, *, dim_in: int, dim_out: int, example: Layout) -> "Relation":
        """New blocks and a new projector.

        Raises:
            PartError: The width cannot be divided among as many layers and heads.
        """
        width, left = divmod(dim_in, self.layers)
        if left or width % self.heads:
            raise PartError(
                f"relation: found tokens of width {dim_in}, needed {self.layers} layers of an encoder side by side, "
                f"each a multiple of heads = {self.heads} wide; set the encoder's layer to a list of {self.layers}"
            )
        self.layout(example)
        return Relation(self, width, dim_out, example)


class Relation(InputProjector):
    """The blocks, one behind each layer, and the projector.

    Args:
        config: Sizes.
        width: Width of the encoder's tokens in one layer.
        dim_out: Width of prompt tokens.
        example: How the tokens of an ordinary item lie.
    """

    def __init__(self, config: RelationConfig, width: int, dim_out: int, example: Layout) -> None:
        super().__init__()
        self.config = config
        self.token = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(RelationBlock(config, width) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.whole = config.whole.build(dim_in=width, dim_out=dim_out, example=config.between(example))

    def forward(self, features: Ragged, texts: Ragged | None = None) -> Ragged:
        """Project the features of items."""
        grid, beside = _patches(features.layouts[0])
        states, there = (features.stack(), None) if features.is_even else features.padded()
        frames = states.unflatten(1, (-1, beside + grid[0] * grid[1])).unflatten(-1, (self.config.layers, -1))
        seen = None if there is None else there.view(frames.shape[:3])
        token = self.token.to(states.dtype).expand(len(states), 1, -1)
        for number, block in enumerate(self.blocks):
            token = block(token, frames[..., number, :], seen, grid)
        last = features.values.unflatten(-1, (self.config.layers, -1))[:, -1].split(list(features.lengths))
        items = [torch.cat([own, read]) for own, read in zip(last, token, strict=True)]
        read = Ragged.of(items, [self.config.between(item) for item in features.layouts])
        projected: Ragged = self.whole(read.with_values(self.norm(read.values), read.layouts), texts)
        return projected


class RelationBlock(nn.Module):
    """The token reads one layer of all frames, and goes through a feed-forward layer; at first neither changes it.

    Args:
        config: Sizes.
        width: Width of tokens.
    """

    def __init__(self, config: RelationConfig, width: int) -> None:
        super().__init__()
        self.heads = config.heads
        self.neighbours = nn.Conv3d(width, width, kernel_size=3, padding=1, groups=width)
        self.norm_token, self.norm_frames = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        between = config.feed_forward or 4 * width
        up, down = nn.Linear(width, between), nn.Linear(between, width)
        self.feed_forward = nn.Sequential(nn.LayerNorm(width), up, nn.GELU(), nn.Dropout(config.dropout), down)
        self._draw(up, down)

    def _draw(self, up: nn.Linear, down: nn.Linear) -> None:
        """Draw weights as VideoChat does; three maps are drawn there as one, of three times the width."""
        for linear in (self.query, self.key, self.value):
            nn.init.xavier_uniform_(linear.weight, gain=0.5**0.5)
        nn.init.xavier_uniform_(up.weight)
        for linear in (self.out, down):
            nn.init.zeros_(linear.weight)
        for bias in (m.bias for m in (self.neighbours, self.query, self.key, self.value, self.out, down)):
            assert bias is not None
            nn.init.zeros_(bias)

    def forward(
        self,
        token: Float[Tensor, "i 1 d"],
        frames: Float[Tensor, "i t p d"],
        seen: Bool[Tensor, "i t p"] | None,
        grid: Grid,
    ) -> Float[Tensor, "i 1 d"]:
        """The token, once it has read.

        Args:
            token: The token of each item.
            frames: The frames of each item in one layer, a class token in front of the patches where there is one.
            seen: Which of them are there; all if None.
            grid: Rows and columns of a frame's patches.
        """
        normed = self.norm_frames(frames)
        if seen is not None:  # beyond an item's last frame its patches have no neighbours
            normed = normed * seen[..., None]
        beside = frames.shape[2] - grid[0] * grid[1]
        patches = normed[:, :, beside:].unflatten(2, grid).permute(0, 4, 1, 2, 3)
        moved = self.neighbours(patches).permute(0, 2, 3, 4, 1).flatten(2, 3)
        read = torch.cat([normed[:, :, :beside], normed[:, :, beside:] + moved], dim=2).flatten(1, 2)
        query = self.query(self.norm_token(token))
        there = None if seen is None else seen.flatten(1)
        token = token + self.out(attend(query, self.key(read), self.value(read), self.heads, seen=there))
        added: Tensor = token + self.feed_forward(token)
        return added


def _patches(item: Layout) -> tuple[Grid, int]:
    """Rows and columns of a frame's patches, and how many tokens stand before them: a class token or none.

    Raises:
        PartError: The blocks are no such frames.
    """
    found = {*zip(item.blocks, item.block_grids, strict=True)}
    if len(found) == 1:
        tokens, grid = next(iter(found))
        if grid is not None:
            return grid, 0
        for beside in (0, 1):
            side = math.isqrt(tokens - beside)
            if side and side * side + beside == tokens:
                return (side, side), beside
    raise PartError(
        f"relation: found blocks of {', '.join(map(str, sorted({*item.blocks})))} tokens, needed frames of one size: "
        "patches in rows and columns, and at most a class token in front of them"
    )

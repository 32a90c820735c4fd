"""Point-BERT (arXiv 2111.14819) as ULIP (2212.05171), ULIP-2 (2305.08275) and PointLLM (2308.16911) read 3-D shapes.

Source: salesforce/ULIP, models/pointbert; differs in where far points begin (with the first, as there on CUDA, but
near the middle none is left out), in nearest points found by exact distances, and in batch norms that always use the
statistics of the checkpoint. Nothing is dropped at random in training.
"""

import argparse
import re
from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from modalink import hub
from modalink.encoders._point_groups import groups
from modalink.kinds import Count, Width
from modalink.modalities._point_units import PointsPreprocessor
from modalink.ragged import Layout, Ragged
from modalink.roles import Encoder, EncoderConfig

NAMES = {
    "cls_token": "class_token",
    "cls_pos": "class_position",
    "pos_embed.": "positions.",
    "encoder.first_conv.": "patches.point.",
    "encoder.second_conv.": "patches.group.",
    "reduce_dim.": "patches.out.",
    "blocks.blocks.": "blocks.",
    ".norm1.": ".attention_norm.",
    ".norm2.": ".mlp_norm.",
    ".attn.": ".attention.",
    ".attention.proj.": ".attention.out.",
    ".mlp.fc1.": ".mlp.0.",
    ".mlp.fc2.": ".mlp.2.",
}
"""Pieces of the authors' names, and what they are here."""
_PREFIXES = {r"^module\.point_encoder\.|^(model\.)?point_backbone\.": ""}
_REST = (r"^(module|model|lm_head)\.",)
"""What else whole models of ULIP and PointLLM hold."""
ZOO = {
    "points": 512,
    "depth": 3,
    "width": 128,
    "heads": 4,
    "groups": 32,
    "group_size": 12,
    "encoder_width": 128,
}
"""Sizes of the zoo's encoder."""
_SMALL = {"depth": 2, "width": 32, "heads": 4, "encoder_width": 32, "groups": 16, "group_size": 8}


class PointBertConfig(EncoderConfig):
    """Settings of Point-BERT; the defaults are PointLLM's, which has the weights of a ULIP-2 of depth 12."""

    kind: Literal["point_bert"] = "point_bert"
    features: Literal["tokens", "pooled"] = "tokens"
    """`tokens`: the class token and a token for each group (PointLLM: 513); `pooled`: one token, the class token beside
    the largest of all groups (ULIP)."""
    points: int = Field(default=8192, ge=8, le=2**18)
    """How many points are drawn from the surface of a mesh, and at most from a cloud: one of fewer keeps its own."""
    colors: bool = True
    """Whether points have colours: of ULIP-2 and PointLLM yes, of ULIP no."""
    missing_color: float = Field(default=0.4, ge=0, le=1)
    """Red, green and blue where no colour is known: 0.4 in ULIP-2's evaluation, 0 in PointLLM's."""
    in_unit_ball: bool = True
    """Whether points are moved and scaled into the ball of radius one, as the authors do; where size and place mean
    something, as in rooms, they are not."""
    depth: Count = 12
    """Blocks: 12 in ULIP and PointLLM, 18 in ULIP-2 with 10,000 coloured points."""
    width: Width = 384
    """Channels of a token."""
    heads: Count = 6
    """Attention heads of a block."""
    groups: Count = 512
    """Neighbourhoods, of which each becomes a token."""
    group_size: Count = 32
    """Points of a neighbourhood."""
    encoder_width: Width = 256
    """Channels of a neighbourhood before they become those of a token."""

    def reads(self) -> frozenset[str]:
        """Point clouds and meshes."""
        return frozenset({"points"})

    def tiny(self) -> "PointBertConfig":
        """The zoo's encoder."""
        return self.from_zoo("points", in_unit_ball=False, colors=True, **ZOO)

    def build(self, *, weights: bool = True) -> "PointBertEncoder":
        """The encoder, with the checkpoint's weights or only its architecture.

        Raises:
            PartError: The checkpoint holds other weights than these settings describe.
        """
        if not weights:
            tower = PointBert(self).eval()
            return PointBertEncoder(self, tower if self.dtype == "auto" else tower.to(getattr(torch, self.dtype)))
        names = _PREFIXES | {re.escape(old): new for old, new in NAMES.items()}
        tower = hub.load_original(
            lambda: PointBert(self),
            self.checkpoint,
            names=names,
            revision=self.revision,
            dtype=self.dtype,
            within=("state_dict", "model"),
            beside=(argparse.Namespace,),
            allow_unexpected=_REST,
        )
        return PointBertEncoder(self, tower)

    def describe(self) -> dict[str, Any]:
        """The architecture, and which tokens are given."""
        return self.model_dump(mode="json", include={"features", "colors", *_SMALL})

    def miniature(self) -> "PointBertEncoder":
        """Few, narrow blocks over few, small groups."""
        return self.replace(**_SMALL, dtype="auto").build(weights=False)

    def typical(self) -> Layout:
        """As many points as are taken of a mesh, but no more than show what happens to them."""
        units = min(self.points, 256)
        return Layout(units, (units,))

    def preprocessor(self) -> PointsPreprocessor:
        """Points, with colours where they are read."""
        return PointsPreprocessor(
            self.points, colors=self.colors, missing_color=self.missing_color, in_unit_ball=self.in_unit_ball
        )

    @model_validator(mode="after")
    def _is_built(self) -> "PointBertConfig":
        if self.width % self.heads:
            raise ValueError(f"found width {self.width} and {self.heads} heads, needed a width that the heads divide")
        return self


class PointBertEncoder(Encoder):
    """Points to the tokens of Point-BERT.

    Args:
        config: Its settings.
        tower: The network.
    """

    def __init__(self, config: PointBertConfig, tower: "PointBert") -> None:
        super().__init__()
        self.tower = tower
        self.pooled = config.features == "pooled"
        self.dim = config.width * (2 if self.pooled else 1)
        self.tokens = 1 if self.pooled else config.groups + 1
        self.unit_shape = (6 if config.colors else 3,)

    def layout(self, item: Layout) -> Layout:
        """As many tokens of every item, however many points it has."""
        return Layout(item.units, (self.tokens,))

    def forward(self, items: Ragged) -> Ragged:
        """The tokens of all items; groups are found in float32 and read in the precision of the tower."""
        tokens = self.tower(list(items))
        if self.pooled:
            tokens = torch.cat([tokens[:, :1], tokens[:, 1:].amax(1, keepdim=True)], dim=-1)
        return items.with_values(tokens.flatten(0, 1), [self.layout(layout) for layout in items.layouts])


class PointBert(nn.Module):
    """Neighbourhoods of points as tokens, behind a class token, through a transformer.

    Args:
        config: Its sizes.
    """

    def __init__(self, config: PointBertConfig) -> None:
        super().__init__()
        self.groups, self.group_size, width = config.groups, config.group_size, config.width
        self.patches = _Patches(6 if config.colors else 3, config.encoder_width, width)
        self.class_token = nn.Parameter(torch.randn(1, 1, width))
        self.class_position = nn.Parameter(torch.randn(1, 1, width))
        self.positions = nn.Sequential(nn.Linear(3, 128), nn.GELU(), nn.Linear(128, width))
        self.blocks = nn.ModuleList(_Block(width, config.heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, clouds: Sequence[Float[Tensor, "_ c"]]) -> Float[Tensor, "i p d"]:
        """The tokens of clouds of any sizes: the class token, and one for each neighbourhood."""
        dtype = self.class_token.dtype
        found = [groups(cloud.float(), self.groups, self.group_size) for cloud in clouds]
        members, centres = (torch.stack(each).to(dtype) for each in zip(*found, strict=True))
        first = (len(clouds), -1, -1)
        tokens = torch.cat([self.class_token.expand(first), self.patches(members)], dim=1)
        positions = torch.cat([self.class_position.expand(first), self.positions(centres)], dim=1)
        for block in self.blocks:
            tokens = block(tokens + positions)  # at every block, not only before the first
        normed: Tensor = self.norm(tokens)
        return normed

    def train(self, mode: bool = True) -> Self:
        """The same, but batch norms stay with the checkpoint's statistics: no item depends on those beside it."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.training = False
        return self


class _Patches(nn.Module):
    """A neighbourhood to a token: the largest of what its points say, twice (PointNet, arXiv 1612.00593)."""

    def __init__(self, channels: int, encoder_width: int, width: int) -> None:
        super().__init__()
        self.point = _pointwise(channels, 128, 256)
        self.group = _pointwise(512, 512, encoder_width)
        self.out = nn.Linear(encoder_width, width)

    def forward(self, members: Float[Tensor, "i g n c"]) -> Float[Tensor, "i g d"]:
        items, count = members.shape[:2]
        each = self.point(members.flatten(0, 1).mT)
        together = each.amax(2, keepdim=True).expand_as(each)
        states = self.group(torch.cat([together, each], dim=1)).amax(2)
        tokens: Tensor = self.out(states)
        return tokens.unflatten(0, (items, count))


def _pointwise(channels: int, hidden: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(channels, hidden, 1), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Conv1d(hidden, width, 1)
    )


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention_norm, self.attention = nn.LayerNorm(width), _Attention(width, heads)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Float[Tensor, "i p d"]) -> Float[Tensor, "i p d"]:
        tokens = tokens + self.attention(self.attention_norm(tokens))
        return tokens + self.mlp(self.mlp_norm(tokens))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)

    def forward(self, tokens: Float[Tensor, "i p d"]) -> Float[Tensor, "i p d"]:
        query, key, value = self.qkv(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(query, key, value)
        result: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return result

"""NExT-GPT's grouping (arXiv 2309.05519, ICML 2024): learned concepts gather the encoder's tokens, as in GroupViT.

In each stage blocks let tokens and concepts read each other; then each token is given to one concept, and what stands
for a concept from there on is the mean of its tokens. Which concept is the choice of a softmax with noise in training,
made hard, with the gradient of the soft one (arXiv 2202.11094, section 3.1).

Sources: the papers; sizes, order and drawn weights as in NExT-GPT/NExT-GPT@60d618b, nextgpt/model/multimodal_projector.
The paper says 28 million parameters, the code's sizes, which are the defaults, make more; `depths: [3, 3]` and
`groups: [8]` make 28 million.
"""

from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from modalink.kinds import Count, Width
from modalink.projectors.inputs._borrowing import Origin
from modalink.projectors.inputs._resampling import Resampler, ResamplerConfig, attend, beside, side_by_side
from modalink.ragged import Layout, Ragged

_STAGE = r"layers\.(\d+)\."
_NAMES = {
    r"in_fc\.": "entry.",
    r"out_fc\.": "exit.",
    rf"{_STAGE}group_token$": r"stages.\1.concepts",
    rf"{_STAGE}group_projector\.0\.": r"stages.\1.handed.0.",
    rf"{_STAGE}group_projector\.1\.fc1\.": r"stages.\1.handed.1.layers.0.",
    rf"{_STAGE}group_projector\.1\.fc2\.": r"stages.\1.handed.1.layers.2.",
    rf"{_STAGE}blocks\.(\d+)\.norm1\.": r"stages.\1.blocks.\2.norm.",
    rf"{_STAGE}blocks\.(\d+)\.attn\.qkv\.": r"stages.\1.blocks.\2.query_key_value.",
    rf"{_STAGE}blocks\.(\d+)\.attn\.proj\.": r"stages.\1.blocks.\2.out.",
    rf"{_STAGE}blocks\.(\d+)\.norm2\.": r"stages.\1.blocks.\2.feed_forward.0.",
    rf"{_STAGE}blocks\.(\d+)\.mlp\.fc1\.": r"stages.\1.blocks.\2.feed_forward.1.",
    rf"{_STAGE}blocks\.(\d+)\.mlp\.fc2\.": r"stages.\1.blocks.\2.feed_forward.3.",
    rf"{_STAGE}downsample\.norm_x\.": r"stages.\1.gather.norm_tokens.",
    rf"{_STAGE}downsample\.norm_tokens\.": r"stages.\1.gather.mixed.0.",
    rf"{_STAGE}downsample\.mlp_inter\.fc1\.": r"stages.\1.gather.mixed.1.layers.0.",
    rf"{_STAGE}downsample\.mlp_inter\.fc2\.": r"stages.\1.gather.mixed.1.layers.2.",
    rf"{_STAGE}downsample\.norm_post_tokens\.": r"stages.\1.gather.mixed.2.",
    rf"{_STAGE}downsample\.pre_assign_attn\.attn\.q_proj\.": r"stages.\1.gather.reading.query.",
    rf"{_STAGE}downsample\.pre_assign_attn\.attn\.k_proj\.": r"stages.\1.gather.reading.key.",
    rf"{_STAGE}downsample\.pre_assign_attn\.attn\.v_proj\.": r"stages.\1.gather.reading.value.",
    rf"{_STAGE}downsample\.pre_assign_attn\.attn\.proj\.": r"stages.\1.gather.reading.out.",
    rf"{_STAGE}downsample\.pre_assign_attn\.norm2\.": r"stages.\1.gather.reading.feed_forward.0.",
    rf"{_STAGE}downsample\.pre_assign_attn\.mlp\.fc1\.": r"stages.\1.gather.reading.feed_forward.1.",
    rf"{_STAGE}downsample\.pre_assign_attn\.mlp\.fc2\.": r"stages.\1.gather.reading.feed_forward.3.",
    rf"{_STAGE}downsample\.pre_assign_attn\.norm_post\.": r"stages.\1.gather.reading.norm.",
    rf"{_STAGE}downsample\.assign\.q_proj\.": r"stages.\1.gather.query.",
    rf"{_STAGE}downsample\.assign\.k_proj\.": r"stages.\1.gather.key.",
    rf"{_STAGE}downsample\.assign\.v_proj\.": r"stages.\1.gather.value.",
    rf"{_STAGE}downsample\.assign\.proj\.": r"stages.\1.gather.out.",
    rf"{_STAGE}downsample\.norm_new_x\.": r"stages.\1.gather.feed_forward.0.",
    rf"{_STAGE}downsample\.mlp_channels\.fc1\.": r"stages.\1.gather.feed_forward.1.",
    rf"{_STAGE}downsample\.mlp_channels\.fc2\.": r"stages.\1.gather.feed_forward.3.",
    r"": "",
}
_ORIGIN = Origin(r"(?:model\.)?mm_input_projector\.", _NAMES, settings={"heads": 8})
"""NExT-GPT."""


class GroupingConfig(ResamplerConfig):
    """Settings of the grouping; the defaults are those of NExT-GPT's code."""

    origins: ClassVar[tuple[Origin, ...]] = (_ORIGIN,)

    kind: Literal["grouping"] = "grouping"
    width: Width = 512
    """Width inside; a multiple of `heads`."""
    heads: Count = 8
    depths: tuple[Count, ...] = (6, 3, 3)
    """Blocks of each stage."""
    groups: Annotated[tuple[Count, ...], Field(min_length=1)] = (64, 8)
    """Concept tokens of each stage but the last, which has none; those of the last are the prompt tokens."""
    feed_forward: Width = 2048
    """Width of the feed-forward layers."""

    @model_validator(mode="after")
    def _a_stage_stands_behind_the_last_groups(self) -> "GroupingConfig":
        if len(self.depths) != len(self.groups) + 1:
            raise ValueError(
                f"found {len(self.depths)} depths and {len(self.groups)} groups, needed one stage more than groups"
            )
        return self

    @property
    def tokens(self) -> int:
        """One of each of the last concepts."""
        return self.groups[-1]

    def sections(self) -> tuple[str, ...]:
        """A map that is there where widths differ, positions if wanted, and all else."""
        return ("entry", *self.placed(), "stages", "norm", "exit")

    def tiny(self) -> "GroupingConfig":
        """The same, narrow, with a block in each stage."""
        return self.drawn_anew().replace(
            width=128,
            heads=4,
            feed_forward=256,
            depths=(1,) * len(self.depths),
            groups=tuple(min(16, count) for count in self.groups),
        )

    def build(self, *, dim_in: int, dim_out: int, example: Layout) -> "Grouping":
        """A new projector between these widths.

        Raises:
            PartError: The width cannot be divided among the heads.
        """
        self.divided(self.width, self.heads)
        self.layout(example)
        return Grouping(self, dim_in, dim_out)


class Grouping(Resampler):
    """Stages, each with fewer tokens than the one before."""

    def __init__(self, config: GroupingConfig, dim_in: int, dim_out: int) -> None:
        super().__init__(config, dim_in, config.width)
        counts = (None, *config.groups, None)
        self.stages = nn.ModuleList(
            Stage(config, depth, before, groups)
            for depth, (before, groups) in zip(config.depths, pairwise(counts), strict=True)
        )
        self.norm = nn.LayerNorm(config.width)
        self.exit = nn.Linear(config.width, dim_out)

    def resample(self, tokens: Ragged) -> Float[Tensor, "i n d_llm"]:
        """What came of the last concepts."""
        values, seen = side_by_side(tokens)
        concepts: Tensor | None = None
        for stage in self.stages:
            values, concepts = stage(values, seen, concepts)
            seen = None  # concepts are as many in all items
        made: Tensor = self.exit(self.norm(values))
        return made


class Stage(nn.Module):
    """Blocks over tokens and concepts, then the means of the concepts' tokens.

    Args:
        config: Sizes.
        depth: Number of blocks.
        before: Concepts of the stage before.
        groups: Concepts; None in the last stage, which gathers nothing.
    """

    def __init__(self, config: GroupingConfig, depth: int, before: int | None, groups: int | None) -> None:
        super().__init__()
        width = config.width
        self.blocks = nn.ModuleList(Block(config) for _ in range(depth))
        self.concepts = None if groups is None else nn.Parameter(torch.randn(groups, width) * 0.02)
        self.gather = None if groups is None else Gathering(config, groups)
        self.handed: nn.Module | None = None
        if before is not None and groups is not None:
            assert self.concepts is not None
            nn.init.zeros_(self.concepts)  # they begin as what the concepts before became
            self.handed = nn.Sequential(nn.LayerNorm(width), Mixing(before, width // 2, groups))

    def forward(
        self, tokens: Float[Tensor, "i n d"], seen: Bool[Tensor, "i n"] | None, before: Float[Tensor, "i k d"] | None
    ) -> tuple[Float[Tensor, "i m d"], Float[Tensor, "i g d"] | None]:
        """What stands for each concept, or in the last stage each token; and the concepts."""
        if self.concepts is None or self.gather is None:
            for block in self.blocks:
                tokens = block(tokens, seen)
            return tokens, None
        concepts = self.concepts.to(tokens.dtype).expand(len(tokens), -1, -1)
        if self.handed is not None:
            concepts = concepts + self.handed(before)
        states, there = beside(tokens, seen, concepts)
        for block in self.blocks:
            states = block(states, there)
        tokens, concepts = states.split([tokens.shape[1], concepts.shape[1]], dim=1)
        return self.gather(tokens, seen, concepts), concepts


class Block(nn.Module):
    """Tokens that read each other, and a feed-forward layer.

    Args:
        config: Sizes.
    """

    def __init__(self, config: GroupingConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.norm = nn.LayerNorm(config.width)
        self.query_key_value = nn.Linear(config.width, 3 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width)
        self.feed_forward = feed_forward(config)

    def forward(self, states: Float[Tensor, "i n d"], seen: Bool[Tensor, "i n"] | None) -> Float[Tensor, "i n d"]:
        """The states, once they have read those that are there."""
        query, key, value = self.query_key_value(self.norm(states)).chunk(3, dim=2)
        states = states + self.out(attend(query, key, value, self.heads, seen=seen))
        added: Tensor = states + self.feed_forward(states)
        return added


class Gathering(nn.Module):
    """Gives each token to one concept.

    Args:
        config: Sizes.
        groups: Concepts.
    """

    def __init__(self, config: GroupingConfig, groups: int) -> None:
        super().__init__()
        width = config.width
        self.norm_tokens = nn.LayerNorm(width)
        self.mixed = nn.Sequential(nn.LayerNorm(width), Mixing(groups, width // 2, groups), nn.LayerNorm(width))
        self.reading = Reading(config)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.feed_forward = feed_forward(config)

    def forward(
        self, tokens: Float[Tensor, "i n d"], seen: Bool[Tensor, "i n"] | None, concepts: Float[Tensor, "i g d"]
    ) -> Float[Tensor, "i g d"]:
        """What stands for each concept."""
        tokens = self.norm_tokens(tokens)
        concepts = self.reading(self.mixed(concepts), tokens, seen)
        fit = self.query(concepts) @ self.key(tokens).mT * tokens.shape[2] ** -0.5
        shares = self.shares(fit)
        if seen is not None:
            shares = shares * seen[:, None]
        # One more than there are, so that a concept without tokens is no division by zero.
        means = shares / (shares.sum(2, keepdim=True) + 1) @ self.value(tokens)
        concepts = concepts + self.out(means)
        added: Tensor = concepts + self.feed_forward(concepts)
        return added

    def shares(self, fit: Float[Tensor, "i g n"]) -> Float[Tensor, "i g n"]:
        """1 for the concept to which a token is given, else 0; with the gradient of a softmax over concepts."""
        if self.training:
            return functional.gumbel_softmax(fit, hard=True, dim=1)
        soft = fit.softmax(1)
        hard = torch.zeros_like(soft).scatter_(1, soft.argmax(1, keepdim=True), 1.0)
        return hard - soft.detach() + soft


class Reading(nn.Module):
    """Concepts that read tokens.

    Args:
        config: Sizes.
    """

    def __init__(self, config: GroupingConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query, self.key, self.value, self.out = (nn.Linear(config.width, config.width) for _ in range(4))
        self.feed_forward = feed_forward(config)
        self.norm = nn.LayerNorm(config.width)

    def forward(
        self, concepts: Float[Tensor, "i g d"], tokens: Float[Tensor, "i n d"], seen: Bool[Tensor, "i n"] | None
    ) -> Float[Tensor, "i g d"]:
        """The concepts, once they have read tokens that are there."""
        states = attend(self.query(concepts), self.key(tokens), self.value(tokens), self.heads, seen=seen)
        concepts = concepts + self.out(states)
        normed: Tensor = self.norm(concepts + self.feed_forward(concepts))
        return normed


class Mixing(nn.Module):
    """Tokens mixed into other tokens, each channel in the same way.

    Args:
        before: Tokens that come in.
        between: Width between the two maps.
        after: Tokens that go out.
    """

    def __init__(self, before: int, between: int, after: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(before, between), nn.GELU(), nn.Linear(between, after))

    def forward(self, tokens: Float[Tensor, "i n d"]) -> Float[Tensor, "i m d"]:
        """The mixed tokens."""
        mixed: Tensor = self.layers(tokens.mT).mT
        return mixed


def feed_forward(config: GroupingConfig) -> nn.Sequential:
    """A LayerNorm and two maps with a GELU between them."""
    return nn.Sequential(
        nn.LayerNorm(config.width),
        nn.Linear(config.width, config.feed_forward),
        nn.GELU(),
        nn.Linear(config.feed_forward, config.width),
    )

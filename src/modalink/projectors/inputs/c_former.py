"""X-LLM's C-Former (arXiv 2305.04160): frames of speech become as many tokens as a transcript has, and read each other.

Source: phellonchen/X-LLM, xllm/models/xllm_models/xllm_speech.py, which holds what stands behind the
integrate-and-fire: a map, the blocks of BERT, a map. What stands before is not there, since its features were made in
advance; it is after the paper of CIF (arXiv 1905.11235, section 3.1). Differs in that the weights are scaled to a count
that is known from the sound's length, in training and without, so that a prompt has its places before anything is
encoded; so no loss of quantity is needed, and how many tokens a sound has does not depend on how fast one speaks. All
is drawn anew: X-LLM began with the blocks of bert-base-chinese.
"""

from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from modalink.devices import to_device
from modalink.errors import PartError
from modalink.kinds import Count, Width
from modalink.projectors.inputs._integrate_and_fire import integrate_and_fire
from modalink.ragged import Layout, Ragged
from modalink.roles import InputProjector, InputProjectorConfig


class CFormerConfig(InputProjectorConfig):
    """Settings of the C-Former; the defaults of its blocks are those of BERT-base, as in X-LLM."""

    kind: Literal["c_former"] = "c_former"
    every: Count = 12
    """How many encoder tokens become one prompt token, rounded up for each window of a sound: 12 of 20 ms are about one
    character of spoken Chinese."""
    reach: Literal[1, 3, 5, 7] = 3
    """Neighbouring encoder tokens from which the weight of the middle one is told."""
    width: Width = 768
    """Width inside; a multiple of `heads`."""
    layers: Count = 12
    heads: Count = 12
    feed_forward: Width = 3072
    """Width of the feed-forward layers."""
    positions: int = Field(default=512, ge=1, le=2**17)
    """The most prompt tokens of a window."""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)

    def layout(self, item: Layout) -> Layout:
        """A prompt token for each `every` encoder tokens of a block, rounded up.

        Raises:
            PartError: A block has more than the learned positions.
        """
        blocks = tuple(-(-tokens // self.every) for tokens in item.blocks)
        if (most := max(blocks)) > self.positions:
            advice = "shorten the encoder's windows, or raise every or positions"
            raise PartError(f"c_former: found a window of {most} tokens, needed at most {self.positions}; {advice}")
        return replace(item, blocks=blocks, grid=None)

    def sections(self) -> tuple[str, ...]:
        """What tells how much of a token each frame is, the maps on both sides, and the blocks between them."""
        return ("around", "weight", "entry", "positions", "norm", "blocks", "exit")

    def tiny(self) -> "CFormerConfig":
        """The same, narrow and of two blocks."""
        return self.replace(width=64, heads=4, layers=min(2, self.layers), feed_forward=128)

    def build(self, *, dim_in: int, dim_out: int, example: Layout) -> "CFormer":
        """A new projector between these widths.

        Raises:
            PartError: The width cannot be divided among the heads.
        """
        if self.width % self.heads:
            raise PartError(f"c_former: found width {self.width}, needed a multiple of heads = {self.heads}")
        self.layout(example)
        return CFormer(self, dim_in, dim_out)


class CFormer(InputProjector):
    """Weights, integrate-and-fire, a map, blocks in which the tokens of a window see each other, a map."""

    def __init__(self, config: CFormerConfig, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.config = config
        self.around = nn.Conv1d(dim_in, dim_in, config.reach, padding=config.reach // 2)
        self.weight = nn.Linear(dim_in, 1)
        self.entry = nn.Linear(dim_in, config.width)
        self.positions = nn.Embedding(config.positions, config.width)
        self.norm = nn.LayerNorm(config.width, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)
        block = nn.TransformerEncoderLayer(
            config.width,
            config.heads,
            config.feed_forward,
            config.dropout,
            "gelu",
            layer_norm_eps=1e-12,
            batch_first=True,
        )
        self.blocks = nn.TransformerEncoder(block, config.layers, enable_nested_tensor=False)
        self.exit = nn.Linear(config.width, dim_out)

    def forward(self, features: Ragged, texts: Ragged | None = None) -> Ragged:
        """Project the features of items, each of their windows by itself."""
        layouts = [self.config.layout(item) for item in features.layouts]
        lengths = tuple(tokens for item in features.layouts for tokens in item.blocks)
        counts = [tokens for layout in layouts for tokens in layout.blocks]
        frames, heard = Ragged(features.values, lengths, tuple(Layout(1, (n,)) for n in lengths)).padded()
        tokens = integrate_and_fire(frames, self.weights(frames) * heard, counts)
        filled = None
        if len({*counts}) > 1:
            filled = torch.arange(tokens.shape[1]) >= torch.tensor(counts)[:, None]
            filled = to_device(filled, tokens.device)
        states = self.entry(tokens).relu() + self.positions.weight[: tokens.shape[1]]
        states = self.blocks(self.dropout(self.norm(states)), src_key_padding_mask=filled)
        made = [state[:n] for state, n in zip(states, counts, strict=True)]
        return features.with_values(self.exit(torch.cat(made)).relu(), layouts)

    def weights(self, frames: Float[Tensor, "i p d"]) -> Float[Tensor, "i p"]:
        """How much of a token each frame is, from 0 to 1, before the weights are scaled."""
        weights: Tensor = self.weight(self.around(frames.mT).mT.relu()).sigmoid()[..., 0]
        return weights

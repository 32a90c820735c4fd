"""A small encoder-decoder Transformer from signal states to conditions, as MiniGPT-5 and NExT-GPT have it.

Source: GILL (arXiv 2305.17216, `gill_mapper` in gill/layers.py), NExT-GPT (arXiv 2309.05519, section 3, `TextFcLayer`),
MiniGPT-5 (arXiv 2310.02239, section 3), M2UGen (arXiv 2311.11255). Which states it reads, and whether the embeddings of
signal tokens are added, is said by the output's `states`.
"""

from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from modalink.errors import PartError
from modalink.kinds import Count, Width
from modalink.roles import OutputProjector, OutputProjectorConfig


class TransformerConfig(OutputProjectorConfig):
    """Settings of the Transformer output projector; the defaults are NExT-GPT's."""

    kind: Literal["transformer"] = "transformer"
    width: Width = 512
    """Width inside; a multiple of `heads`."""
    encoder_layers: Count = 4
    decoder_layers: Count = 4
    heads: Count = 4
    feed_forward: Width = 2048
    """Width of the feed-forward layers."""
    activation: Literal["relu", "gelu"] = "relu"
    norm_first: bool = True
    """Whether norms stand in front of attention and feed-forward layers, or behind them (M2UGen)."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    entry: Literal["linear", "mlp"] = "linear"
    """What narrows the states: one linear map (NExT-GPT), or two with a GELU (MiniGPT-5)."""
    exit: Literal["linear", "none"] = "linear"
    """What stands behind: a linear map to the generator's width (NExT-GPT), or nothing where that is `width`
    (MiniGPT-5)."""

    def tiny(self) -> "TransformerConfig":
        """The same, narrower and less deep, with an exit to whatever width the zoo's generator has."""
        return self.replace(exit="linear").at_most(
            width=128, feed_forward=256, heads=4, encoder_layers=1, decoder_layers=2
        )

    def sections(self) -> tuple[str, ...]:
        """The Transformer's halves, its queries, and the maps around it."""
        return ("entry", "encoder", "decoder", "queries", *["exit"] * (self.exit == "linear"))

    def build(self, *, dim_in: int, dim_out: int, tokens_in: int, tokens_out: int) -> "TransformerProjector":
        """A new projector to `tokens_out` conditions, from any number of signal states.

        Raises:
            PartError: The width cannot be divided among the heads, or is not the generator's though there is no exit.
        """
        if self.width % self.heads:
            raise PartError(f"transformer: found width {self.width}, needed a multiple of heads = {self.heads}")
        if self.exit == "none" and self.width != dim_out:
            raise PartError(f"transformer: found exit: none and width {self.width}, needed {dim_out}; set exit: linear")
        return TransformerProjector(self, dim_in, dim_out, tokens_out)


class TransformerProjector(OutputProjector):
    """Learned queries, one a condition, that attend to the encoded signal states."""

    def __init__(self, config: TransformerConfig, dim_in: int, dim_out: int, tokens_out: int) -> None:
        super().__init__()
        width = config.width
        self.tokens_out, self.dim_out = tokens_out, dim_out
        self.entry = nn.Sequential(nn.Linear(dim_in, width))
        if config.entry == "mlp":
            self.entry.extend([nn.GELU(), nn.Linear(width, width)])
        options: dict[str, Any] = {
            "dim_feedforward": config.feed_forward,
            "dropout": config.dropout,
            "activation": config.activation,
            "batch_first": True,
            "norm_first": config.norm_first,
        }
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(width, config.heads, **options),
            config.encoder_layers,
            nn.LayerNorm(width),
            enable_nested_tensor=False,
        )
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(width, config.heads, **options), config.decoder_layers, nn.LayerNorm(width)
        )
        self.queries = nn.Parameter(torch.randn(tokens_out, width))
        self.exit = nn.Linear(width, dim_out) if config.exit == "linear" else nn.Identity()

    def forward(self, states: Float[Tensor, "i k d_llm"]) -> Float[Tensor, "i {self.tokens_out} {self.dim_out}"]:
        """Project the signal states of items."""
        memory = self.encoder(self.entry(states))
        decoded = self.decoder(self.queries.expand(len(states), -1, -1), memory)
        conditions: Tensor = self.exit(decoded)
        return conditions

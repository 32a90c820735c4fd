"""MetaQuery's connector: an encoder that reads in both directions at the LLM's width, then a small MLP and an RMSNorm.

Each signal token is a query of its own, as many as the condition has tokens. Source: Pan et al., Transfer between
Modalities with MetaQueries (arXiv 2504.06256, section 3; "Enc-Proj" in table 4), and the authors' code (`connector` in
models/model.py, models/transformer_encoder.py): Qwen2's layers with rotary positions, without a causal mask, and with
an RMSNorm of queries and keys for each head. The rotation is transformers'.
"""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from transformers import Qwen2Config
from transformers.models.qwen2.modeling_qwen2 import Qwen2MLP, Qwen2RotaryEmbedding, apply_rotary_pos_emb

from modalink.errors import PartError
from modalink.kinds import Count, Width
from modalink.roles import OutputProjector, OutputProjectorConfig

_DEVIATION = 0.014
"""Of the encoder's first weights."""


class ConnectorConfig(OutputProjectorConfig):
    """Settings of MetaQuery's connector; the defaults are its sizes."""

    kind: Literal["connector"] = "connector"
    one_for_each: ClassVar[bool] = True
    layers: Count = 24
    head_width: Width = 64
    """Width of a head of attention; even, and a divisor of the LLM's width."""
    expansion: Count = 4
    """Width of the feed-forward layers, as a multiple of the LLM's."""
    scale: float = Field(default=1.0, gt=0)
    """First weight of the last RMSNorm: 1 for Stable Diffusion, the root of 5.5 for Sana."""

    def tiny(self) -> "ConnectorConfig":
        """The same, less deep, with heads that divide the width of the zoo's LLM."""
        return self.at_most(layers=2, head_width=16)

    def sections(self) -> tuple[str, ...]:
        """The encoder, and what stands behind it."""
        return ("encoder", "exit")

    def build(self, *, dim_in: int, dim_out: int, tokens_in: int, tokens_out: int) -> "ConnectorProjector":
        """A new connector of as many queries as the condition has tokens.

        Raises:
            PartError: They are more or fewer, or the LLM's width cannot be divided among heads.
        """
        if tokens_in != tokens_out:
            raise PartError(
                f"connector: found {tokens_in} states for {tokens_out} conditions, needed one for each; set "
                f"signal_tokens: {tokens_out}, or use kind: transformer"
            )
        if dim_in % self.head_width or self.head_width % 2:
            raise PartError(
                f"connector: found head_width {self.head_width}, needed an even divisor of the LLM's {dim_in}"
            )
        return ConnectorProjector(self, dim_in, dim_out, tokens_out)


class ConnectorProjector(OutputProjector):
    """States that read each other, each of which becomes the condition at its own place."""

    def __init__(self, config: ConnectorConfig, dim_in: int, dim_out: int, tokens_out: int) -> None:
        super().__init__()
        self.dim_out, self.tokens_out = dim_out, tokens_out
        facts = Qwen2Config(
            hidden_size=dim_in,
            intermediate_size=dim_in * config.expansion,
            num_attention_heads=dim_in // config.head_width,
            num_key_value_heads=dim_in // config.head_width,
            head_dim=config.head_width,
        )
        self.encoder = nn.ModuleList(_Layer(facts, config.head_width) for _ in range(config.layers))
        with torch.device("cpu"):  # its table is arithmetic, no weights
            self._rotation = [Qwen2RotaryEmbedding(facts)]
        norm = nn.RMSNorm(dim_out, eps=1e-5)
        nn.init.constant_(norm.weight, config.scale)
        self.exit = nn.Sequential(
            nn.Linear(dim_in, dim_out), nn.GELU(approximate="tanh"), nn.Linear(dim_out, dim_out), norm
        )
        for module in self.encoder.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=_DEVIATION)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, states: Float[Tensor, "i k d_llm"]) -> Float[Tensor, "i {self.tokens_out} {self.dim_out}"]:
        """Project the signal states of items."""
        places = torch.arange(states.shape[1], device=states.device)[None]
        rotation = self._rotation[0].to(states.device)(states, places)
        for layer in self.encoder:
            states = layer(states, rotation)
        conditions: Tensor = self.exit(states)
        return conditions


class _Layer(nn.Module):
    """A layer of Qwen2 in which all places see each other."""

    def __init__(self, facts: Qwen2Config, head_width: int) -> None:
        super().__init__()
        width, heads = facts.hidden_size, facts.num_attention_heads
        self.before_attention = nn.RMSNorm(width, eps=facts.rms_norm_eps)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width, bias=False)
        self.query_norm = nn.Parameter(torch.ones(heads, 1, head_width))
        self.key_norm = nn.Parameter(torch.ones(heads, 1, head_width))
        self.before_mlp = nn.RMSNorm(width, eps=facts.rms_norm_eps)
        self.mlp = Qwen2MLP(facts)

    def forward(self, states: Float[Tensor, "i k d"], rotation: tuple[Tensor, Tensor]) -> Float[Tensor, "i k d"]:
        states = states + self._attended(self.before_attention(states), rotation)
        result: Tensor = states + self.mlp(self.before_mlp(states))
        return result

    def _attended(self, states: Float[Tensor, "i k d"], rotation: tuple[Tensor, Tensor]) -> Float[Tensor, "i k d"]:
        heads, _, width = self.query_norm.shape
        query, key, value = (
            linear(states).unflatten(-1, (heads, width)).transpose(1, 2)
            for linear in (self.query, self.key, self.value)
        )
        query, key = apply_rotary_pos_emb(query, key, *rotation)
        query, key = (
            (functional.normalize(found, dim=-1) * norm * width**0.5).to(value.dtype)
            for found, norm in ((query, self.query_norm), (key, self.key_norm))
        )
        attended = functional.scaled_dot_product_attention(query, key, value)
        result: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return result

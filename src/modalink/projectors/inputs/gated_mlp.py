"""CogVLM's adapter (arXiv 2311.03079, section 2.1): a map, then a gated MLP (SwiGLU), per token.

Source: THUDM/CogVLM@f7283b2, utils/models/cogvlm_model.py. GLM-4V's merger of patches is the same.
"""

from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.nn import functional

from modalink.kinds import Width
from modalink.projectors.inputs._borrowing import Origin
from modalink.projectors.inputs._tokenwise import TokenwiseConfig, TokenwiseProjector
from modalink.ragged import Layout

_COGVLM = r"(?:model\.vision|mixins\.eva|transformer\.vision)\."
_ORIGINS = (
    Origin(
        rf"{_COGVLM}linear_proj\.",
        {
            r"linear_proj\.": "entry.",
            r"norm1\.": "norm.",
            r"gate_proj\.": "gate.",
            r"dense_h_to_4h\.": "up.",
            r"dense_4h_to_h\.": "down.",
            r"": "",
        },
        beside={rf"{_COGVLM}boi$": "start.token", rf"{_COGVLM}eoi$": "newlines.token"},
    ),
    Origin(
        r"(?:model\.)?visual\.merger\.",
        {r"proj\.": "entry.", r"post_projection_norm\.": "norm.", r"(gate|up|down)_proj\.": r"\1.", r"": ""},
    ),
)
"""CogVLM on the hub, in its own repository, and GLM-4V's first version; GLM-4V of transformers."""


class GatedMlpConfig(TokenwiseConfig):
    """Settings of the gated MLP; the defaults are CogVLM's for an LLM of 7B."""

    origins: ClassVar[tuple[Origin, ...]] = _ORIGINS
    mapping: ClassVar[tuple[str, ...]] = ("entry", "norm", "gate", "up", "down")

    kind: Literal["gated_mlp"] = "gated_mlp"
    feed_forward: Width = 11008
    """Width of the gate: that of the LLM's own feed-forward layers in CogVLM."""

    def tiny(self) -> "GatedMlpConfig":
        """The same, narrower."""
        return self.drawn_anew().at_most(feed_forward=256)

    def build(self, *, dim_in: int, dim_out: int, example: Layout) -> "GatedMlpProjector":
        """A new projector between these widths."""
        self.layout(example)
        return GatedMlpProjector(self, dim_in, dim_out)


class GatedMlpProjector(TokenwiseProjector):
    """`down(silu(gate(x)) * up(x))` of `x = gelu(norm(entry(token)))`, for every (joined) token; no map has a bias."""

    def __init__(self, config: GatedMlpConfig, dim_in: int, dim_out: int) -> None:
        super().__init__(config, dim_in, dim_out)
        self.entry = nn.Linear(config.width_in(dim_in), dim_out, bias=False)
        self.norm = nn.LayerNorm(dim_out)
        self.gate = nn.Linear(dim_out, config.feed_forward, bias=False)
        self.up = nn.Linear(dim_out, config.feed_forward, bias=False)
        self.down = nn.Linear(config.feed_forward, dim_out, bias=False)

    def project(self, tokens: Tensor) -> Tensor:
        """The maps."""
        states = functional.gelu(self.norm(self.entry(tokens)))
        projected: Tensor = self.down(functional.silu(self.gate(states)) * self.up(states))
        return projected

"""Linear maps with an activation between them, per token, as LLaVA-1.5 (two layers, GELU) and VILA use them."""

from itertools import pairwise
from typing import ClassVar, Literal

from torch import Tensor, nn

from modalink.kinds import Count, Width
from modalink.projectors.inputs._borrowing import Origin
from modalink.projectors.inputs._joining import JoinSpec
from modalink.projectors.inputs._tokenwise import TokenwiseConfig, TokenwiseProjector
from modalink.ragged import Layout

Activation = Literal["gelu", "silu", "relu", "linear"]
_ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "relu": nn.ReLU,
    "linear": nn.Identity,
}
_BESIDE = {r"(?:model\.)?image_newline$": "newlines.token"}
_VILA = {r"(?:layers\.)?1\.": "norm.", r"(?:layers\.)?2\.": "layers.0.", r"(?:layers\.)?4\.": "layers.2."}
_DOWNSAMPLE = JoinSpec(tokens=4, layout="square", pad=True, columns=True)
_ORIGINS = (
    Origin(r"(?:model\.)?mm_projector\.", {r"(?:layers\.)?(\d)": r"layers.\1", r"": ""}, beside=_BESIDE),
    Origin(
        r"(?:model\.)?multi_modal_projector\.",
        {r"linear_1\.": "layers.0.", r"linear_2\.": "layers.2.", r"": ""},
        beside=_BESIDE,
        told={"projector_hidden_act": "activation"},
    ),
    Origin(r"(?:model\.)?mm_projector\.", _VILA, settings={"join": _DOWNSAMPLE, "activation": "gelu"}),
)
"""LLaVA-1.5, LLaVA-NeXT and VILA; the same of transformers; VILA's `mlp_downsample`."""


class MlpConfig(TokenwiseConfig):
    """Settings of the MLP projector."""

    origins: ClassVar[tuple[Origin, ...]] = _ORIGINS
    mapping: ClassVar[tuple[str, ...]] = ("norm", "layers")

    kind: Literal["mlp"] = "mlp"
    layers: Count = 2
    """Number of linear maps."""
    width: Width | None = None
    """Width between them; the LLM's if not set."""
    activation: Activation = "gelu"
    """Between the maps; `linear` is none, as an export of `kind: linear` to LLaVA has it."""
    bias: bool = True
    """Whether the maps have biases."""
    norm: bool = False
    """Whether a LayerNorm stands in front, after joining."""
    norm_inside: bool = False
    """Whether a LayerNorm stands behind each activation (CoDi-2)."""

    def tiny(self) -> "MlpConfig":
        """The same, narrower and less deep."""
        return self.drawn_anew().at_most(layers=2, width=128)

    def build(self, *, dim_in: int, dim_out: int, example: Layout) -> "MlpProjector":
        """A new projector between these widths."""
        self.layout(example)
        return MlpProjector(self, dim_in, dim_out)


class MlpProjector(TokenwiseProjector):
    """The MLP for every (joined) token.

    With two layers, `layers.0` and `layers.2` hold the weights that LLaVA's checkpoints call `mm_projector.0` and
    `mm_projector.2`, and transformers `multi_modal_projector.linear_1` and `linear_2`.
    """

    def __init__(self, config: MlpConfig, dim_in: int, dim_out: int) -> None:
        super().__init__(config, dim_in, dim_out)
        width = config.width_in(dim_in)
        self.norm = nn.LayerNorm(width) if config.norm else nn.Identity()
        widths = [width, *[config.width or dim_out] * (config.layers - 1), dim_out]
        stack: list[nn.Module] = []
        for before, after in pairwise(widths):
            stack += [nn.LayerNorm(before)] if config.norm_inside and stack else []
            stack += [nn.Linear(before, after, bias=config.bias), _ACTIVATIONS[config.activation]()]
        self.layers = nn.Sequential(*stack[:-1])

    def project(self, tokens: Tensor) -> Tensor:
        """The maps."""
        projected: Tensor = self.layers(self.norm(tokens))
        return projected

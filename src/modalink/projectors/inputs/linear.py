"""One linear map per token, as LLaVA (2023-04), MiniGPT-4 and MiniGPT-v2 use it."""

from typing import ClassVar, Literal

from torch import Tensor, nn

from modalink.projectors.inputs._borrowing import Origin
from modalink.projectors.inputs._tokenwise import TokenwiseConfig, TokenwiseProjector
from modalink.ragged import Layout

_ORIGINS = (
    Origin(
        r"(?:model\.)?mm_projector\.",
        {r"(?:layers\.)?": "linear."},
        beside={r"(?:model\.)?image_newline$": "newlines.token"},
    ),
    Origin(r"(?:module\.)?(?:llama|opt|t5)_proj\.", {r"": "linear."}),
    Origin(r"language_projection\.", {r"": "linear."}),
    Origin(r"(?:model\.)?multi_modal_projector\.linear\.", {r"": "linear."}),
)
"""LLaVA and VILA; MiniGPT-4 and 5, PandaGPT, Video-LLaMA, BuboGPT; BLIP-2 and PaliGemma of transformers."""


class LinearConfig(TokenwiseConfig):
    """Settings of the linear projector."""

    origins: ClassVar[tuple[Origin, ...]] = _ORIGINS
    mapping: ClassVar[tuple[str, ...]] = ("linear",)

    kind: Literal["linear"] = "linear"

    def tiny(self) -> "LinearConfig":
        """The same: its width is that of its neighbours."""
        return self.drawn_anew()

    def build(self, *, dim_in: int, dim_out: int, example: Layout) -> "LinearProjector":
        """A new projector between these widths."""
        self.layout(example)
        return LinearProjector(self, dim_in, dim_out)


class LinearProjector(TokenwiseProjector):
    """`y = W x + b` for every (joined) token."""

    def __init__(self, config: LinearConfig, dim_in: int, dim_out: int) -> None:
        super().__init__(config, dim_in, dim_out)
        self.linear = nn.Linear(config.width_in(dim_in), dim_out)

    def project(self, tokens: Tensor) -> Tensor:
        """The map."""
        projected: Tensor = self.linear(tokens)
        return projected

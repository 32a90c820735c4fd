"""A small flow model as the link: it draws a generator's own condition from noise, given the signal states.

A regression gives the mean of all conditions that a caption may have; a flow gives one of them. It learns the velocity
from noise to the condition (objective `flow`) and follows it in Euler steps. Source: rectified flow, Liu et al. (arXiv
2209.03003); as a link, BLIP3-o (arXiv 2505.09568, section 3), to CLIP's features of an image, and GAP3D (arXiv
2605.28995), to the features that a frozen generator of solids reads. Time enters as a token beside the states.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from diffusers.models.embeddings import get_timestep_embedding
from jaxtyping import Bool, Float
from torch import Tensor, nn

from modalink.devices import to_device
from modalink.errors import PartError
from modalink.kinds import Count, Width
from modalink.roles import DrawsConditions, OutputProjector, OutputProjectorConfig


class FlowConfig(OutputProjectorConfig):
    """Settings of the flow link."""

    kind: Literal["flow"] = "flow"
    draws: ClassVar[bool] = True
    width: Width = 512
    """Width inside; a multiple of `heads`, and even."""
    layers: Count = 6
    heads: Count = 8
    feed_forward: Width = 2048
    """Width of the feed-forward layers."""
    steps: Count = 20
    """Euler steps from noise to a condition."""

    def tiny(self) -> "FlowConfig":
        """The same, narrower and less deep."""
        return self.at_most(width=128, feed_forward=256, heads=4, layers=2, steps=10)

    def build(self, *, dim_in: int, dim_out: int, tokens_in: int, tokens_out: int) -> "FlowProjector":
        """A new flow to `tokens_out` conditions, from any number of signal states.

        Raises:
            PartError: The width cannot be divided among the heads.
        """
        if self.width % self.heads or self.width % 2:
            raise PartError(f"flow: found width {self.width}, needed an even multiple of heads = {self.heads}")
        return FlowProjector(self, dim_in, dim_out, tokens_out)


class FlowProjector(OutputProjector, DrawsConditions):
    """Predicts the velocity of noisy conditions, which attend to the signal states and to the time."""

    def __init__(self, config: FlowConfig, dim_in: int, dim_out: int, tokens_out: int) -> None:
        super().__init__()
        width = config.width
        self.width, self.steps, self.tokens_out, self.dim_out = width, config.steps, tokens_out, dim_out
        options: dict[str, Any] = {"batch_first": True, "norm_first": True, "activation": "gelu", "dropout": 0.0}
        self.states = nn.Sequential(nn.LayerNorm(dim_in), nn.Linear(dim_in, width))
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.entry = nn.Linear(dim_out, width)
        self.positions = nn.Parameter(torch.randn(tokens_out, width) / width**0.5)
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(width, config.heads, config.feed_forward, **options),
            config.layers,
            nn.LayerNorm(width),
        )
        self.exit = nn.Linear(width, dim_out)
        self.offset = nn.Parameter(torch.zeros(tokens_out, dim_out))

    def forward(self, states: Float[Tensor, "i k d_llm"]) -> Float[Tensor, "i {self.tokens_out} {self.dim_out}"]:
        """A condition of each item, from the same noise for all and each time."""
        return self.draw(states, [torch.Generator().manual_seed(0) for _ in range(len(states))])

    def draw(
        self, states: Float[Tensor, "i k d_llm"], rng: Sequence[torch.Generator]
    ) -> Float[Tensor, "i {self.tokens_out} {self.dim_out}"]:
        """See `modalink.roles.DrawsConditions`."""
        memory = self.states(states)
        found = self._noise(rng, memory)
        for step in range(self.steps):
            times = memory.new_full((len(states),), step / self.steps)
            found = found + self._velocity(found, times, memory) / self.steps
        return found

    def drawing_error(
        self,
        states: Float[Tensor, "i k d_llm"],
        wanted: Float[Tensor, "i {self.tokens_out} {self.dim_out}"],
        rng: Sequence[torch.Generator],
        mask: Bool[Tensor, "i l"] | None = None,
    ) -> Float[Tensor, " i"]:
        """Mean squared error of the velocity at a random time; see `modalink.roles.DrawsConditions`."""
        memory = self.states(states)
        drawn = torch.cat([torch.rand(1, generator=g, device=g.device) for g in rng])
        times, noise, wanted = to_device(drawn, memory.device), self._noise(rng, memory).float(), wanted.float()
        shares = times[:, None, None]
        found = self._velocity((1 - shares) * noise + shares * wanted, times, memory)
        errors = (found.float() - (wanted - noise)).square().mean(2)
        if mask is None:
            return errors.mean(1)
        return errors.where(mask, 0.0).sum(1) / mask.sum(1).clamp(min=1)

    @property
    def centred(self) -> bool:
        """Whether the velocity has left zero, the mean of the conditions at the start."""
        return bool(self.offset.any())

    @torch.no_grad()
    def centre(self, mean: Float[Tensor, "{self.tokens_out} {self.dim_out}"]) -> None:
        """See `modalink.roles.Centred`."""
        self.offset.copy_(mean)

    def _noise(self, rng: Sequence[torch.Generator], like: Tensor) -> Float[Tensor, "i l d_gen"]:
        shape = (self.tokens_out, self.dim_out)
        return to_device(torch.stack([torch.randn(shape, generator=g, device=g.device) for g in rng]), like.device).to(
            like
        )

    def _velocity(
        self, noisy: Float[Tensor, "i l d_gen"], times: Float[Tensor, " i"], memory: Float[Tensor, "i k w"]
    ) -> Float[Tensor, "i l d_gen"]:
        waves = get_timestep_embedding(times.float() * 1000, self.width).to(memory.dtype)
        beside = torch.cat([memory, self.time(waves)[:, None]], 1)
        velocity: Tensor = self.exit(self.decoder(self.entry(noisy.to(memory.dtype)) + self.positions, beside))
        return velocity + self.offset

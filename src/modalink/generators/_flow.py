"""Flow matching: a network learns the velocity of the straight path from media to noise.

Source: Lipman et al., Flow Matching for Generative Modeling (arXiv 2210.02747); times that favour the middle of the
path and the shift towards noise: Esser et al. (arXiv 2403.03206).
"""

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from modalink.devices import to_device
from modalink.generators._latent import LatentDiffusion
from modalink.generators._steps import FlowPath
from modalink.roles import Noised

Times = Literal["uniform", "logit_normal"]
"""How times are drawn when learning: evenly, or more of them in the middle of the path."""


class FlowMatching(LatentDiffusion):
    """Base of generators that walk along a flow; latents are float32 all the way.

    Args:
        times: See `Times`.
        shift: How far times are moved towards noise: of larger pictures, less is hidden by as much noise.
        settings: See `LatentDiffusion`.
    """

    walks_in = torch.float32
    usual_noise = 0.7

    def __init__(self, *, times: Times, shift: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.times, self.shift = times, shift

    def noised(self, latents: Float[Tensor, "i ..."], rng: list[torch.Generator]) -> Noised:
        """Latents at a time of the flow that each item's rng draws."""
        scale = int(self.solver.config.num_train_timesteps)
        return along_flow(latents, rng, times=self.times, shift=self.shift, scale=scale, min_snr=self.min_snr)

    def path(self, steps: int, device: torch.device) -> FlowPath:
        """Euler's steps along the flow."""
        return FlowPath(self.solver.config, self.shift, steps, device)


def along_flow(
    latents: Float[Tensor, "i ..."],
    rng: list[torch.Generator],
    *,
    times: Times,
    shift: float,
    scale: int,
    min_snr: float | None = None,
) -> Noised:
    """Latents at a random time of the flow from media to noise.

    Args:
        latents: Clean latents.
        rng: For each item its own source of, in this order, time and noise.
        times: How times are drawn.
        shift: How far they are moved towards noise; 1 is not at all.
        scale: What the network takes for pure noise.
        min_snr: Weighs the error that clean latents would have by min(SNR, this); no weighting if None.
    """
    drawn = [_time(source, times) for source in rng]
    noises = [torch.randn(latents.shape[1:], generator=g, device=g.device) for g in rng]
    share = to_device(torch.cat(drawn), latents.device)
    share = shift * share / (1 + (shift - 1) * share)
    noise = to_device(torch.stack(noises), latents.device).to(latents)
    along = share.to(latents).view(-1, *[1] * (latents.ndim - 1))
    noisy = (1 - along) * latents + along * noise
    # Clean latents are the noisy ones less time times velocity, so their squared error is that of the velocity x time².
    snr = ((1 - share) / share).square()
    weight = None if min_snr is None else snr.clamp(max=min_snr) * share.square()
    return Noised(noisy, share * scale, noise - latents, weight, share)


def _time(source: torch.Generator, times: Times) -> Tensor:
    if times == "uniform":
        return torch.rand(1, generator=source, device=source.device)
    return torch.randn(1, generator=source, device=source.device).sigmoid()

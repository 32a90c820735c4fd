"""Flow matching: a network learns the velocity of the straight path from media to noise.

Source: Lipman et al., Flow Matching for Generative Modeling (arXiv 2210.02747); times that favour the middle of the
path and the shift towards noise: Esser et al. (arXiv 2403.03206).
"""

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from modalink.devices import to_device
from modalink.generators._diffusion import Predict
from modalink.generators._latent import LatentDiffusion
from modalink.roles import Conditions

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

    def __init__(self, *, times: Times, shift: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.times, self.shift = times, shift

    def denoising_error(
        self, latents: Float[Tensor, "i ..."], conditions: Conditions, rng: list[torch.Generator]
    ) -> Float[Tensor, " i"]:
        """Mean squared error of each item's velocity, with gradients to the conditions only."""
        return velocity_error(
            lambda noisy, times: self.predict(noisy, times, conditions),
            latents,
            rng,
            times=self.times,
            shift=self.shift,
            scale=int(self.solver.config.num_train_timesteps),
            min_snr=self.min_snr,
        )


def velocity_error(
    predict: Predict,
    latents: Float[Tensor, "i ..."],
    rng: list[torch.Generator],
    *,
    times: Times,
    shift: float,
    scale: int,
    min_snr: float | None = None,
) -> Float[Tensor, " i"]:
    """Mean squared error of a network's velocity for each item, at a random time.

    Args:
        predict: The network, of times from 0 to `scale`.
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
    error: Tensor = (predict(noisy, share * scale).float() - (noise - latents).float()).square().flatten(1).mean(1)
    if min_snr is None:
        return error
    # Clean latents are the noisy ones less time times velocity, so their squared error is that of the velocity x time².
    snr = ((1 - share) / share).square()
    return error * snr.clamp(max=min_snr) * share.square()


def _time(source: torch.Generator, times: Times) -> Tensor:
    if times == "uniform":
        return torch.rand(1, generator=source, device=source.device)
    return torch.randn(1, generator=source, device=source.device).sigmoid()

"""Diffusion in EDM's scale: noise of any strength is added to latents, and networks see both at unit spread.

Source: Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models (arXiv 2206.00364), table 1;
velocity and the cosine schedule, whose times are angles: Salimans and Ho (arXiv 2202.00512), section 4.
"""

import math
from typing import Any

import torch
from diffusers import EDMDPMSolverMultistepScheduler
from jaxtyping import Float
from torch import Tensor

from modalink.devices import to_device
from modalink.roles import Noised

_EDGE = 1e-4
"""Nearest to no noise, and to noise alone, that is learned from; noise of no strength has no logarithm."""
SIGNS = {"v_prediction": 1.0, "epsilon": -1.0}
"""What networks predict in this scale: velocity from media to noise, or, as EDM's own, the other way."""


class CosineSolver(EDMDPMSolverMultistepScheduler):
    """DPM-Solver++ for networks that read times of the cosine schedule, from 0 for media to 1 for noise.

    With `algorithm_type="sde-dpmsolver++"` its steps are those of diffusers' CosineDPMSolverMultistepScheduler, with
    noise from the generators of the call in place of torchsde's Brownian tree.
    """

    def precondition_noise(self, sigma: float | Tensor) -> Tensor:
        """The time of noise of a strength."""
        return torch.as_tensor(sigma).atan() / math.pi * 2


def under_noise(
    latents: Float[Tensor, "i ..."], solver: Any, rng: list[torch.Generator], *, min_snr: float | None = None
) -> Noised:
    """Latents under noise of a random strength: those of even times of the cosine schedule.

    Args:
        latents: Clean latents.
        solver: A scheduler of diffusers in this scale: how inputs and strengths are told, and what is predicted.
        rng: For each item its own source of, in this order, time and noise.
        min_snr: Weighs errors by min(SNR, this) / SNR of their noise; no weighting if None.
    """
    drawn = [torch.rand(1, generator=g, device=g.device) for g in rng]
    noises = [torch.randn(latents.shape[1:], generator=g, device=g.device) for g in rng]
    times = to_device(torch.cat(drawn), latents.device).to(latents.dtype).clamp(_EDGE, 1 - _EDGE)
    noise = to_device(torch.stack(noises), latents.device).to(latents)
    spread = float(solver.config.sigma_data)
    sigmas = spread * (times * math.pi / 2).tan()
    each = sigmas.view(-1, *[1] * (latents.ndim - 1))
    whole = (each.square() + spread**2).sqrt()
    noisy = solver.precondition_inputs(latents + each * noise, each)
    # What `precondition_outputs` makes the clean latents of.
    target = SIGNS[solver.config.prediction_type] * (spread * noise - each * latents / spread) / whole
    snr = (spread / sigmas).square()
    # The squared error in clean latents, of unit spread, is this one / (SNR + 1).
    weight = None if min_snr is None else snr.clamp(max=min_snr) / (snr + 1)
    return Noised(noisy, solver.precondition_noise(sigmas), target, weight, spread / (snr + 1).sqrt())

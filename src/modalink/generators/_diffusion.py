"""Diffusion in latents: the noise whose removal is learned, and the walk from noise back to latents.

Source: Ho et al., Denoising Diffusion Probabilistic Models (arXiv 2006.11239); Hang et al., Min-SNR weighting
(arXiv 2303.09556). The noise schedules and solvers are diffusers'.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor
from jaxtyping import Float
from torch import Tensor

from modalink.devices import to_device
from modalink.roles import Noised, ShouldStop, check_stop

Predict = Callable[[Tensor, Tensor], Tensor]
"""Noisy latents [i ...] and their times (one, or one an item) to what the network predicts."""


def under_noise(
    latents: Float[Tensor, "i ..."], schedule: Any, rng: list[torch.Generator], *, min_snr: float | None = None
) -> Noised:
    """Latents under the noise of a random time.

    Args:
        latents: Clean latents.
        schedule: diffusers' DDPMScheduler, for its noise schedule and what the network predicts.
        rng: For each item its own source of, in this order, time and noise.
        min_snr: Weighs errors by min(SNR, this) / SNR of their time; no weighting if None.
    """
    steps = schedule.config.num_train_timesteps
    times = to_device(
        torch.cat([torch.randint(steps, (1,), generator=g, device=g.device) for g in rng]), latents.device
    )
    normal = torch.stack([torch.randn(latents.shape[1:], generator=g, device=g.device) for g in rng])
    noise = to_device(normal, latents.device).to(latents)
    noisy, kind = schedule.add_noise(latents, noise, times), schedule.config.prediction_type
    targets = {"epsilon": noise, "v_prediction": schedule.get_velocity(latents, noise, times), "sample": latents}
    kept = schedule.alphas_cumprod.to(times.device)[times]
    weight = None if min_snr is None else _weight(kept, kind, min_snr)
    to_media = {"epsilon": (1 / kept - 1).sqrt(), "v_prediction": (1 - kept).sqrt(), "sample": torch.ones_like(kept)}
    return Noised(noisy, times, targets[kind], weight, to_media[kind])


def _weight(kept: Tensor, kind: str, limit: float) -> Tensor:
    snr = kept / (1 - kept)
    clipped = snr.clamp(max=limit)
    # The error in latents is the error in noise times 1 / SNR, and the error in velocity times 1 / (SNR + 1).
    return {"epsilon": clipped / snr, "v_prediction": clipped / (snr + 1), "sample": clipped}[kind]


def denoise(
    predict: Predict,
    solver: Any,
    shape: tuple[int, ...],
    *,
    rng: list[torch.Generator],
    like: Tensor,
    should_stop: ShouldStop | None = None,
) -> Tensor:
    """Latents [i ...] drawn by a solver from noise.

    Args:
        predict: The network, guidance included.
        solver: A scheduler of diffusers at the beginning of its steps.
        shape: Shape of one item's latents.
        rng: For each item its own source of noise.
        like: A tensor with the device and precision to work in.
        should_stop: Asked before each step.

    Raises:
        Stopped: `should_stop` said so.
    """
    latents: Tensor = randn_tensor((len(rng), *shape), generator=rng, device=like.device, dtype=like.dtype)
    latents = latents * getattr(solver, "init_noise_sigma", 1.0)  # a flow begins at noise as it is
    scaled = getattr(solver, "scale_model_input", lambda latents, time: latents)
    options = {"generator": rng} if "generator" in inspect.signature(solver.step).parameters else {}
    for number, time in enumerate(solver.timesteps):
        check_stop(should_stop, f"after {number} of {len(solver.timesteps)} steps")
        prediction = predict(scaled(latents, time), time)
        latents = solver.step(prediction, time, latents, **options).prev_sample
    return latents

"""What the kit for generators proves of a denoiser that stages can train."""

from typing import Any

import torch
from torch import Tensor

from modalink.generators import built
from modalink.roles import Conditions, GeneratorConfig
from modalink.testing.requirements import require, require_close


def check_denoiser(
    config: GeneratorConfig, generator: Any, latents: Tensor, conditions: Conditions, rngs: list[list[torch.Generator]]
) -> None:
    """Prove that adapters in a denoiser change nothing while they are new, and that gradients reach them alone.

    Args:
        config: Settings that name the `denoiser`.
        generator: As they build it.
        latents: Of some media.
        conditions: Of as many.
        rngs: Two times the same source for each of them.

    Raises:
        AssertionError: It breaks the promise that the message names.
    """
    adapted: Any = built(config.replace(lora={"rank": 2, "alpha": 4}))
    denoiser = config.denoiser_of(adapted)
    new = {name: p for name, p in denoiser.named_parameters() if ".lora_" in name}
    learning = {name for name, p in adapted.named_parameters() if p.requires_grad}
    expected = {f"{config.denoiser}.{name}" for name in new}
    require(learning == expected, "of a generator with adapters they alone may ask for gradients")
    errors = adapted.denoising_error(latents, conditions, rngs[0])
    plain = generator.denoising_error(latents, conditions, rngs[1])
    require_close(errors.detach(), plain.detach(), "adapters that are new must not change what a denoiser predicts")
    errors.sum().backward()
    missing = [name for name, parameter in new.items() if parameter.grad is None]
    require(not missing, f"the gradient of denoising_error must reach all adapters, found none in {missing[:3]}")
    ends = (parameter.grad for name, parameter in new.items() if ".lora_B." in name)
    moved = any(gradient is not None and bool(gradient.any()) for gradient in ends)
    require(moved, "the gradient of denoising_error must reach the adapters, found it 0 everywhere")

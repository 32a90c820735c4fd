"""Classifier-free guidance (Ho and Salimans, arXiv 2207.12598), and what it steers away from, computed once."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from modalink.generators._diffusion import Predict
from modalink.roles import Conditions


def null_conditions(generator: Any) -> Conditions:
    """A generator's null conditions, of one item, computed once for each precision and device that it is in.

    Args:
        generator: A generator that has them.
    """
    key: list[Any] = [(p.device, p.dtype, 0 if p.is_inference() else p._version) for p in generator.parameters()]
    kind = key[0][0].type if key else "cpu"
    key.append(torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind))
    if generator.__dict__.get("_null_conditions", (None, None))[0] != key:
        generator._null_conditions = key, generator.null_conditions(1)
    found: Conditions = generator._null_conditions[1]
    return found


def guided(
    predict: Callable[[Tensor, Tensor, Conditions], Tensor],
    conditions: Conditions,
    away: Conditions,
    guidance: float,
    *,
    rescale: float = 0.0,
) -> Predict:
    """A prediction for conditions that is pushed away from others; both are one batch of the network.

    Args:
        predict: Noisy latents `[i ...]`, their time and conditions to what the network predicts.
        conditions: What is asked for, one item for each of the latents.
        away: What it is pushed away from, one item for all or as many.
        guidance: How far; up to 1 not at all.
        rescale: Share of the prediction that is given the spread that it has without guidance (Lin et al., arXiv
            2305.08891, section 3.4).
    """
    if guidance <= 1:
        return lambda noisy, time: predict(noisy, time, conditions)
    tensor = next(iter(conditions.tensors.values()))
    away = away.to(tensor.device, tensor.dtype)
    both = Conditions.cat([away if len(away) == len(conditions) else away.take([0] * len(conditions)), conditions])

    def pushed(noisy: Tensor, time: Tensor) -> Tensor:
        other, asked = predict(torch.cat([noisy, noisy]), time, both).chunk(2)
        found: Tensor = other + guidance * (asked - other)
        return found if rescale == 0 else _respread(found, asked, rescale)

    return pushed


def _respread(found: Tensor, asked: Tensor, share: float) -> Tensor:
    axes = tuple(range(1, found.ndim))
    scaled = found * (asked.std(axes, keepdim=True) / found.std(axes, keepdim=True))
    return share * scaled + (1 - share) * found

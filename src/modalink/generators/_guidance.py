"""Classifier-free guidance (Ho and Salimans, arXiv 2207.12598): what it steers away from, computed once."""

from typing import Any

import torch

from modalink.roles import Conditions


def null_conditions(generator: Any) -> Conditions:
    """A generator's null conditions, of one item, computed once for each precision and device that it is in.

    Args:
        generator: A generator that `Denoises`.
    """
    key: list[Any] = [(p.device, p.dtype, 0 if p.is_inference() else p._version) for p in generator.parameters()]
    kind = key[0][0].type if key else "cpu"
    key.append(torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind))
    if generator.__dict__.get("_null_conditions", (None, None))[0] != key:
        generator._null_conditions = key, generator.null_conditions(1)
    found: Conditions = generator._null_conditions[1]
    return found

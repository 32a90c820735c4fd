"""Random weights for a small network, as if it were trained: none is idle, and signals pass through all layers."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

_UNITS = 4
"""Units whose statistics batch norms take."""


@torch.no_grad()
def draw(module: nn.Module, encode: Callable[[Tensor], Tensor], unit_shape: tuple[int, ...], gain: float = 1.0) -> None:
    """Draw all weights anew, the same ones every time, none of them zero: as if it were trained, nothing is idle.

    Classes begin with gates and biases of zero, behind which a block would be seen doing nothing.

    Args:
        module: Whose weights, in place.
        encode: Passes units through it.
        unit_shape: Shape of one unit.
        gain: How strong they are; the weaker, the less its tokens learn of each other.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for parameter in module.parameters():
            if parameter.is_floating_point():
                if parameter.ndim < 2:
                    parameter.add_(torch.randn_like(parameter), alpha=0.1)
                else:
                    fan_in = max(1, math.prod(parameter.shape[1:]))
                    parameter.normal_(std=gain * min(0.2, fan_in**-0.5))
        settle(module, encode, unit_shape)


def settle(module: nn.Module, encode: Callable[[Tensor], Tensor], unit_shape: tuple[int, ...]) -> None:
    """Let batch norms take the statistics of what they meet, as training does; with others, deep towers fall silent."""
    norms = [norm for norm in module.modules() if isinstance(norm, _BatchNorm) and not norm.training]
    if not norms:
        return
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    try:
        encode(torch.randn(_UNITS, *unit_shape, generator=torch.Generator().manual_seed(0)))
    finally:
        for norm in norms:
            norm.eval()

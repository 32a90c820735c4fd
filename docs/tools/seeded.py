"""Weights and tokens that are the same in every process, for numbers that somebody's original code gave of them."""

import re
import zlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from modalink.ragged import Layout, Ragged

IMAGE = Layout(1, (16,), (4, 4))
VIDEO = Layout(3, (4, 4, 4), (2, 2), times_s=(0.0, 0.5, 1.0))


def weights(module: nn.Module) -> dict[str, Tensor]:
    """A tensor for each parameter of a module, drawn for its name alone."""
    return {name: drawn(name, like.shape) for name, like in module.named_parameters()}


def drawn(name: str, shape: tuple[int, ...]) -> Tensor:
    """Normal numbers; a matrix keeps the size of what it maps, a gain is about one."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    numbers = torch.randn(shape, generator=generator)
    if len(shape) > 1:
        return numbers * shape[-1] ** -0.5
    return 0.1 * numbers + (1.0 if name.endswith("weight") else 0.0)


def tokens(layout: Layout, width: int) -> Ragged:
    """An item that lies so."""
    return Ragged.of([drawn(f"tokens {layout.blocks}", (layout.tokens, width)) * width**0.5], [layout])


def renamed(name: str, names: Mapping[str, str]) -> str:
    """A name of an original's tensor as its projector has it here."""
    pattern = next(pattern for pattern in names if re.match(pattern, name))
    return re.sub(pattern, names[pattern], name, count=1)

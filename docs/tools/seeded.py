"""Weights and tokens that are the same in every process, for numbers that somebody's original code gave of them."""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from modalink.ragged import Layout, Ragged

IMAGE = Layout(1, (16,), (4, 4))
VIDEO = Layout(3, (4, 4, 4), (2, 2), times_s=(0.0, 0.5, 1.0))


def drawn(name: str, shape: Sequence[int]) -> Tensor:
    """Normal numbers, drawn for a name alone; a matrix keeps the size of what it maps, a gain is about one."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    numbers = torch.randn(*shape, generator=generator)
    if len(shape) > 1:
        return numbers * shape[-1] ** -0.5
    return 0.1 * numbers + (1.0 if name.endswith("weight") else 0.0)


def tokens(layout: Layout, width: int) -> Ragged:
    """An item that lies so."""
    return Ragged.of([drawn(f"tokens {layout.blocks}", (layout.tokens, width)) * width**0.5], [layout])


def borrowed(
    config: Any, tensors: Mapping[str, Tensor | Sequence[int]], folder: Path, *, example: Layout = IMAGE, **widths: int
) -> Any:
    """A projector with the weights of a checkpoint.

    Args:
        config: Its settings, without a checkpoint.
        tensors: What the checkpoint holds: name -> tensor, or the shape of one that is drawn for its name.
        folder: Where it is written.
        example: How the tokens of an ordinary item lie.
        widths: `dim_in` and `dim_out`.
    """
    given = {name: t if isinstance(t, Tensor) else drawn(name, t) for name, t in tensors.items()}
    save_file({name: tensor.contiguous() for name, tensor in given.items()}, folder / "model.safetensors")
    config = config.replace(checkpoint=str(folder))
    projector = config.build(**widths, example=example)
    config.borrow(projector, config.borrowed())
    return projector.eval()

"""The projector without parameters gives the encoder's tokens."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from modalink.projectors.inputs.identity import IdentityConfig
from modalink.ragged import Layout, Ragged


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Two items of different lengths."""
    layouts = [Layout(1, (4,), (2, 2)), Layout(1, (3,))]
    tokens = [torch.randn(layout.tokens, 8) for layout in layouts]
    projector = IdentityConfig().build(dim_in=8, dim_out=8, example=layouts[0])
    yield "the encoder's tokens", projector(Ragged.of(tokens, layouts)).values, torch.cat(tokens)

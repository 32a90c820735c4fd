"""AdamW: Adam with decoupled weight decay.

Source: arXiv 1711.05101; PyTorch's implementation and defaults.
"""

from typing import Annotated, Any, Literal

import torch
from pydantic import Field, PositiveFloat

from modalink.training.optimizers import OptimizerConfig

Beta = Annotated[float, Field(ge=0, lt=1)]


class AdamWConfig(OptimizerConfig):
    """Settings of AdamW."""

    kind: Literal["adamw"] = "adamw"
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square."""
    eps: PositiveFloat = 1e-8
    """Added to the root of the mean square, so that it never divides by zero."""

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        # The fused kernel exists on CPU, CUDA and MPS alike.
        return torch.optim.AdamW(groups, betas=self.betas, eps=self.eps, fused=True)

"""Adafactor: the mean square of a matrix's gradients is kept as one row and one column, which takes little memory.

PaLI-X, UL2 and Flan-T5 were trained with it. The step is in proportion to the parameters' own size: a learning rate of
1e-3 moves a parameter by a thousandth of its root mean square.

Source: arXiv 1804.04235, algorithms 4 and 6; PyTorch's implementation.
"""

from typing import Any, Literal

import torch
from pydantic import NegativeFloat, PositiveFloat

from modalink.training.optimizers import OptimizerConfig


class AdafactorConfig(OptimizerConfig):
    """Settings of Adafactor."""

    kind: Literal["adafactor"] = "adafactor"
    decay: NegativeFloat = -0.8
    """At step t the mean of squares keeps 1 - t^decay of itself."""
    smallest: PositiveFloat = 1e-3
    """A parameter's size counts as at least this, so that one that begins at zero can leave it."""
    clip: PositiveFloat = 1.0
    """The root mean square of a parameter's update is at most this before it is scaled."""

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        # The default decay of weights is none; each group says its own.
        return torch.optim.Adafactor(groups, beta2_decay=self.decay, eps=(None, self.smallest), d=self.clip)

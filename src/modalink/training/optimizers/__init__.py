"""What updates the trained groups. An optimizer is one file; its state must be tensors, which checkpoints keep."""

from abc import abstractmethod
from typing import Any, ClassVar

import torch

from modalink.kinds import KindConfig


class OptimizerConfig(KindConfig):
    """Base of optimizers; learning rates and weight decay stand with the groups that a stage trains."""

    room: ClassVar[str] = "modalink.training.optimizers"

    @abstractmethod
    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The optimizer over the trained groups.

        Args:
            groups: For each group its named `params`, `lr` and `weight_decay` (see `freezing.optimizer_groups`).
        """

"""What objectives tell of a step for people, beside its losses: means over all its micro-batches and processes."""

from collections.abc import Mapping

import torch
from torch import Tensor

from modalink.training import parallel
from modalink.training.objectives import ObjectiveConfig


class Diagnostics:
    """Collects what objectives leave in `Output.diagnostics`.

    Args:
        objectives: The stage's, by name.
    """

    def __init__(self, objectives: Mapping[str, ObjectiveConfig]) -> None:
        self.names = [(name, what) for name, objective in objectives.items() for what in objective.diagnoses]
        self._left: list[tuple[str, dict[str, Tensor]]] = []

    def of(self, objective: str) -> dict[str, Tensor]:
        """Where an objective leaves what it tells of a batch."""
        self._left.append((objective, {}))
        return self._left[-1][1]

    def clear(self) -> None:
        """Forget what is there, before a step."""
        self._left.clear()

    def record(self) -> dict[str, dict[str, float]]:
        """The means since `clear`, by `OBJECTIVE.WHAT`, for the step's record; nothing where no objective tells any.

        All processes ask this together.
        """
        if not self.names:
            return {}
        sums = {name: torch.zeros(2, dtype=torch.float64) for name in self.names}
        for objective, left in self._left:
            for what, own in left.items():
                sums[objective, what] += own.detach().double().cpu()
        numbers = parallel.summed([number for own in sums.values() for number in own.tolist()])
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        means = {f"{name}.{what}": pair for (name, what), pair in zip(sums, pairs, strict=True)}
        return {"diagnostics": {name: total / count for name, (total, count) in means.items() if count}}

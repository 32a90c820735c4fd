"""The exponential moving average of what a stage trains: calmer than the weights of any one step.

Source: averaging of Polyak and Juditsky 1992; the update is torch.optim.swa_utils', and that the average forgets faster
at first is from tf.train.ExponentialMovingAverage (`num_updates`).
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from modalink.errors import CheckpointError
from modalink.training.weights_copy import WeightsCopy


class MovingAverage(WeightsCopy):
    """Averages of parameters, which start as the parameters are now.

    Args:
        parameters: The trained parameters by name.
        decay: Share of the average that stays at a step; at step n, from 0, at most (1 + n) / (10 + n), so that what a
            stage begins with is forgotten however short it is.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        super().__init__(parameters)
        self._decay = decay

    def update(self, step: int) -> None:
        """Take in the parameters as a step, counted from 0, has left them."""
        take_in = get_ema_multi_avg_fn(min(self._decay, (1 + step) / (10 + step)))
        take_in([*self.tensors.values()], [each.detach() for each in self._parameters.values()], None)

    def settle(self) -> None:
        """The parameters become the average: what the stage hands on."""
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(self.tensors[name])

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from an average that was saved.

        Raises:
            CheckpointError: It is of other parameters.
        """
        if {name: t.shape for name, t in tensors.items()} != {name: t.shape for name, t in self.tensors.items()}:
            raise CheckpointError(
                f"found an average of {len(tensors)} parameters, needed the {len(self.tensors)} that the stage trains; "
                "restore the part that has changed, or choose another run folder"
            )
        for name, tensor in tensors.items():
            self.tensors[name].copy_(tensor)

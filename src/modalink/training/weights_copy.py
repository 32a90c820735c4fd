"""A second set of values for the parameters that a stage trains, swapped in where it is needed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn


class WeightsCopy:
    """A copy of parameters as they are now, or other values for them.

    Args:
        parameters: The parameters by name.
        tensors: The values that each is exchanged for; by default a copy of those that it has now.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor] | None = None) -> None:
        self._parameters = dict(parameters)
        now = {name: parameter.detach() for name, parameter in parameters.items()}
        self.tensors = {**tensors} if tensors is not None else {name: tensor.clone() for name, tensor in now.items()}

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the parameters are the copy; afterwards they are where they were."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        for name, parameter in self._parameters.items():
            here, there = self.tensors[name], parameter.data
            parameter.data, self.tensors[name] = here.to(there.device, there.dtype), there

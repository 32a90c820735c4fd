"""A second set of values for the parameters that a stage trains, swapped in where it is needed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import nn


class WeightsCopy:
    """A copy of parameters as they are now.

    Args:
        parameters: The trained parameters by name.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self._parameters = dict(parameters)
        self.tensors = {name: parameter.detach().clone() for name, parameter in parameters.items()}

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

"""The states of a denoiser that learns beside the present one: what objectives about media measure by."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

from torch import nn

from modalink.training.weights_copy import WeightsCopy


class DenoiserStates:
    """How what a stage trains of a denoiser was when the stage began, and when media were drawn last.

    Args:
        parameters: What it trains of the denoiser, by name; nothing where that is frozen, and always the same.
        start: All that the stage trains as it was when it began; None where no objective measures by that.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], start: WeightsCopy | None) -> None:
        self._parameters, self._start = dict(parameters), start
        self._drawn: WeightsCopy | None = None

    def at_start(self) -> AbstractContextManager[None]:
        """Inside, the denoiser is as it was when the stage began: for passes without gradients."""
        if not self._parameters:
            return nullcontext()
        assert self._start is not None
        own = {name: self._start.tensors[name] for name in self._parameters}
        return WeightsCopy(self._parameters, own).in_place()

    def as_drawn(self) -> AbstractContextManager[None]:
        """Inside, it is as it was when media were drawn last: for passes without gradients."""
        return nullcontext() if self._drawn is None else self._drawn.in_place()

    def note_drawing(self) -> None:
        """Remember what the denoiser is now, when media are drawn."""
        if self._parameters:
            self._drawn = WeightsCopy(self._parameters)

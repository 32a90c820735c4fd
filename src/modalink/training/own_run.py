"""The run that a stage belongs to, as its rewards may ask it: by the state in which an earlier stage has ended."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache

from modalink.model import System
from modalink.model.precision import autocast
from modalink.recipe import Stage
from modalink.rewards import OwnRun
from modalink.training.loop import Run
from modalink.training.step import Learner
from modalink.training.weights_copy import WeightsCopy


class StagesBefore(OwnRun):
    """The stages before one that is trained.

    Args:
        run: The run; where it trains nothing (a rehearsal), stages before have left what is there.
        now: The stage.
        learner: Its learner.
    """

    def __init__(self, run: Run, now: Stage, learner: Learner) -> None:
        self._run, self._now, self._learner = run, now, learner
        self._left = cache(self._copy)

    @property
    def system(self) -> System:
        return self._learner.system

    def stage(self, name: str) -> Stage:
        return next(stage for stage in self._run.recipe.stages if stage.name == name)

    @contextmanager
    def after(self, name: str) -> Iterator[None]:
        as_it_was = nullcontext() if self._run.earlier is None else self._left(name).in_place()
        with as_it_was, autocast(self._learner.dtype, self._learner.device):
            yield

    def _copy(self, name: str) -> WeightsCopy:
        assert self._run.earlier is not None
        tensors = self._run.earlier.after(name, self._now)
        parameters = dict(self.system.model.named_parameters())
        return WeightsCopy({own: parameters[own] for own in tensors}, tensors)

"""Kinds of stage. A kind is one file: settings of its own, and what it does from its first step to its last.

What kinds share is in the rooms around them: `weights.py` and `opening.py` bring a stage to where it stands, `step.py`
learns from the samples of a step, `loop.py` goes through the steps. A kind decides where the samples come from and what
is done with them.
"""

from abc import abstractmethod
from collections.abc import Sequence

from modalink.model.prepared import Prepared
from modalink.recipe import Stage
from modalink.training.loop import Run
from modalink.training.step import Learner


class StageConfig(Stage):
    """Base of kinds of stage; the settings that all have are those of `Stage`."""

    @abstractmethod
    def run(self, run: Run) -> None:
        """Train the stage to its end, from its newest checkpoint if it has one; if it is finished, load its weights.

        Raises:
            TrainingError: A step must not go on, or the stage was interrupted.
            CheckpointError: The run folder cannot be read or written.
        """

    def rehearsed(self, learner: Learner, samples: Sequence[Prepared], run: Run) -> list[Prepared]:
        """What the stage would learn from samples of its data: they themselves, if it makes none of its own.

        Args:
            learner: Its learner.
            samples: The first samples of its data.
            run: A run without a past, in whose folder it may write.
        """
        return [*samples]

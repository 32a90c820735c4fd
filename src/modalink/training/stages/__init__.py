"""Kinds of stage. A kind is one file: settings of its own, and what it does from its first step to its last.

What kinds share is in the rooms around them: `weights.py` and `opening.py` bring a stage to where it stands, `step.py`
learns from the samples of a step, `loop.py` goes through the steps. A kind decides where the samples come from and what
is done with them.
"""

from abc import abstractmethod

from modalink.recipe import Stage
from modalink.training.loop import Run


class StageConfig(Stage):
    """Base of kinds of stage; the settings that all have are those of `Stage`."""

    @abstractmethod
    def run(self, run: Run) -> None:
        """Train the stage to its end, from its newest checkpoint if it has one; if it is finished, load its weights.

        Raises:
            TrainingError: A step must not go on, or the stage was interrupted.
            CheckpointError: The run folder cannot be read or written.
        """

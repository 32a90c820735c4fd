"""What kinds of stage share that learn from given samples, one batch after the other."""

import torch

from modalink.data.loader import Loader
from modalink.training.loop import Run
from modalink.training.opening import begin
from modalink.training.stages import StageConfig
from modalink.training.stages._opened import opened
from modalink.training.timing import choose_precision


class GivenSamplesConfig(StageConfig):
    """A stage whose samples are those of its data, as they are."""

    def run(self, run: Run) -> None:
        if (begun := begin(run, self)) is None:
            return
        trained, fresh = begun.trained, begun.checkpoint is None

        def precision(loader: Loader) -> torch.dtype:
            return choose_precision(run, self, trained, loader, fresh=fresh)

        with opened(run, self, begun, precision) as stage:
            stage.train()

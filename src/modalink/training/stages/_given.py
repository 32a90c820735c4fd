"""What kinds of stage share that learn from given samples, one batch after the other."""

from contextlib import ExitStack

from modalink.model.groups import table
from modalink.training.evaluating import open_evaluation
from modalink.training.events import StageStarted
from modalink.training.loop import Run, train_steps
from modalink.training.opening import begin, count_steps, make_learner, open_loader, open_metrics, resume
from modalink.training.stages import StageConfig
from modalink.training.timing import choose_precision


class GivenSamplesConfig(StageConfig):
    """A stage whose samples are those of its data, as they are."""

    def run(self, run: Run) -> None:
        if (begun := begin(run, self)) is None:
            return
        folder, trained, checkpoint = begun.folder, begun.trained, begun.checkpoint
        with ExitStack() as stack:
            loader = open_loader(run, self, folder, stack)
            dtype = choose_precision(run, self, trained, loader, fresh=checkpoint is None)
            steps = count_steps(self, loader.epoch_samples)
            learner = make_learner(run, self, trained, steps, dtype, begun.start)
            first = resume(learner, loader, checkpoint)
            metrics = open_metrics(run, folder, checkpoint, stack)
            rows = table(run.system.model.trainable_groups(), self.train, run.system.generators)
            run.emit(StageStarted(self.name, first, learner.steps, rows))
            evaluate = open_evaluation(run, learner, metrics, folder, stack)
            train_steps(run, learner, loader, first, metrics, evaluate)

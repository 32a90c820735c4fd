"""Learning from given samples: pre-training and supervised fine-tuning."""

from contextlib import ExitStack
from typing import Literal

from modalink.model.groups import table
from modalink.runs import checkpoints
from modalink.training.evaluating import open_evaluation
from modalink.training.events import StageStarted, Warned
from modalink.training.freezing import freeze, needs_of
from modalink.training.loop import Run, train_steps
from modalink.training.opening import count_steps, make_learner, open_loader, open_metrics
from modalink.training.optimization import load_optimizer_tensors
from modalink.training.stages import StageConfig
from modalink.training.timing import choose_precision
from modalink.training.weights import load_checkpoint


class SupervisedConfig(StageConfig):
    """The objectives' losses on the samples of the data, as they are."""

    kind: Literal["supervised"] = "supervised"

    def run(self, run: Run) -> None:
        folder = run.folder / self.name
        trained = freeze(run.system.model, run.system.model.trainable_groups(), self.train, needs_of(self))
        checkpoint = checkpoints.latest(folder / "checkpoints", lambda text: run.emit(Warned(text)))
        if checkpoint is not None:
            load_checkpoint(trained, checkpoint)
            if checkpoint.progress.done:
                return
        with ExitStack() as stack:
            loader = open_loader(run, self, folder, stack)
            dtype = choose_precision(run, self, trained, loader, fresh=checkpoint is None)
            learner = make_learner(run, self, trained, count_steps(self, loader.epoch_samples), dtype)
            first = 0
            if checkpoint is not None:
                first = checkpoint.progress.step
                load_optimizer_tensors(learner.optimizer, checkpoint.optimizer())
                if learner.average is not None:
                    learner.average.load(checkpoint.average())
                learner.watch.load_state_dict(checkpoint.progress.watch)
                loader.load_state_dict(checkpoint.progress.cursor)
            metrics = open_metrics(run, folder, checkpoint, stack)
            rows = table(run.system.model.trainable_groups(), self.train, run.system.generators)
            run.emit(StageStarted(self.name, first, learner.steps, rows))
            evaluate = open_evaluation(run, learner, metrics, folder, stack)
            train_steps(run, learner, loader, first, metrics, evaluate)

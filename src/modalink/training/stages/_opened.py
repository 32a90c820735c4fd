"""What kinds of stage open alike before their first step, and close behind their last."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch

from modalink.data.loader import Loader
from modalink.model.groups import table
from modalink.model.precision import resolve
from modalink.recipe import Stage
from modalink.runs.metrics import Metrics
from modalink.training.critic import Critic
from modalink.training.evaluating import open_evaluation
from modalink.training.events import StageStarted
from modalink.training.loop import Learn, Run, train_steps
from modalink.training.opening import Begun, count_steps, make_learner, open_critic, open_loader, open_metrics, resume
from modalink.training.step import Learner


@dataclass(frozen=True)
class Opened:
    """A stage at its next step.

    Args:
        run: The run.
        begun: Where it stands.
        loader: Its data.
        learner: Its learner.
        first: The next step, from 0.
        metrics: Where its records go; None for all processes but one.
        evaluate: Hears how many steps are done.
        critic: Its critic, where that is a model of its own.
    """

    run: Run
    begun: Begun
    loader: Loader
    learner: Learner
    first: int
    metrics: Metrics | None
    evaluate: Callable[[int], None]
    critic: Critic | None

    def train(self, learn: Learn | None = None) -> None:
        """Go through the steps that are left; see `train_steps`."""
        train_steps(self.run, self.learner, self.loader, self.first, self.metrics, self.evaluate, learn, self.critic)


@contextmanager
def opened(
    run: Run, stage: Stage, begun: Begun, precision: Callable[[Loader], torch.dtype] | None = None
) -> Iterator[Opened]:
    """Open a stage's data, logs and learner, as its newest checkpoint has left them.

    Args:
        run: The run.
        stage: The stage.
        begun: Where it stands.
        precision: Chooses what matrix products are computed in. Where none does and the stage leaves it open, it is
            float32 on a CPU: nothing is timed, because what is drawn would hang on it.
    """
    with ExitStack() as stack:
        loader = open_loader(run, stage, begun.folder, stack)
        dtype = untimed(run, stage) if precision is None else precision(loader)
        steps = count_steps(stage, loader.epoch_samples)
        learner = make_learner(run, stage, begun.trained, steps, dtype, begun.start)
        critic = open_critic(run, stage, learner, fresh=begun.checkpoint is None)
        first = resume(learner, loader, begun.checkpoint, critic)
        metrics = open_metrics(run, begun.folder, begun.checkpoint, stack)
        rows = table(run.system.model.trainable_groups(), stage.train, run.system.generators)
        run.emit(StageStarted(stage.name, first, learner.steps, rows))
        evaluate = open_evaluation(run, learner, metrics, begun.folder, stack)
        yield Opened(run, begun, loader, learner, first, metrics, evaluate, critic)


def untimed(run: Run, stage: Stage) -> torch.dtype:
    """The precision of a stage whose draws hang on it: in bfloat16 also on what stands beside them."""
    auto = stage.precision == "auto" and run.device.type == "cpu"
    return torch.float32 if auto else resolve(stage.precision, run.device)

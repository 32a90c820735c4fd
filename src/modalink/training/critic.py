"""A critic that is a model of its own: the system with weights of its own in what the stage trains, and the value head.

They are a second set of values for the same parameters, swapped in for the critic's passes, and never a second system;
what the stage leaves frozen both read. TRL's PPOTrainer, DeepSpeed-Chat and verl load a second model instead.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from modalink.errors import CheckpointError, TrainingError
from modalink.model import ModalinkForConditionalGeneration
from modalink.model.groups import Groups, group_of
from modalink.model.prepared import Prepared
from modalink.recipe import Stage
from modalink.training.drawn import numbers_of
from modalink.training.freezing import freeze, needs_of
from modalink.training.optimization import load_optimizer_tensors, optimizer_tensors
from modalink.training.step import Learner
from modalink.training.weights import Lender, beginnings
from modalink.training.weights_copy import WeightsCopy

WEIGHTS, OPTIMIZER = "weights", "optimizer"


def critic_of(policy: Learner, stage: Stage) -> "Critic | None":
    """The critic of a stage, which begins as its policy is now; None where it has none of its own.

    Args:
        policy: What learns the rest of the stage.
        stage: The whole stage.
    """
    if (own := stage.of_critic()) is None:
        return None
    learner = Learner(
        system=policy.system,
        stage=own,
        steps=policy.steps,
        seed=policy.seed,
        trained=_read(policy.system.model, own),
        encoders=policy.encoders,
        generators={},
        device=policy.device,
        dtype=policy.dtype,
    )
    for parameter in policy.parameters:  # of some of them values do not depend
        parameter.requires_grad_(True)
    return Critic(learner)


def _read(model: ModalinkForConditionalGeneration, stage: Stage) -> Groups:
    """What values depend on of the groups that a critic trains: not the table by which the LLM scores words."""
    trained = freeze(model, model.trainable_groups(), stage.train, needs_of(stage), dropout=stage.dropout)
    scores, reads = model.get_output_embeddings(), {id(p) for p in model.get_input_embeddings().parameters()}
    words = {id(p) for p in scores.parameters()} - reads if isinstance(scores, nn.Module) else set()
    kept = {group: [member for member in members if id(member[1]) not in words] for group, members in trained.items()}
    return {group: members for group, members in kept.items() if members}


class Critic:
    """Learns what to expect of replies, with weights of its own.

    Args:
        learner: Learns, by the objectives about values; what it trains are parameters of the policy, and the head.
    """

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self.weights = WeightsCopy(
            {name: parameter for members in learner.trained.values() for name, parameter in members}
        )

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the system has the critic's weights; afterwards the policy's, and no gradient of the critic's."""
        with self.weights.in_place():
            try:
                yield
            finally:
                self.learner.optimizer.zero_grad()

    def values(self, samples: Sequence[Prepared]) -> list[list[float]]:
        """What it expects at each labelled token of every side of some samples; all processes ask this together."""
        with self.in_place():
            return numbers_of(self.learner, samples, {"values"}).values

    def learn(self, step: int, samples: Sequence[Prepared]) -> dict[str, Any]:
        """Update its weights once; see `Learner.learn`.

        Raises:
            TrainingError: Its loss or a gradient is not finite, or a group of its gets no gradient.
        """
        with self.in_place(), _told():
            return self.learner.learn(step, samples)

    def finish(self) -> None:
        """Demand that all that it trains has received a gradient.

        Raises:
            TrainingError: A group received none in the whole stage.
        """
        with _told():
            self.learner.watch.finish()

    def begin(self, model: ModalinkForConditionalGeneration, saved: Lender) -> None:
        """Take the weights that another run, or an earlier stage, lends.

        Args:
            model: The system as the policy begins.
            saved: What is lent.

        Raises:
            CheckpointError: A group is not among them or of another form, or one that critic and policy both read, and
                this stage does not train, is another there.
            UnknownNameError: They hold a group that the model has not.
        """
        now, teaches = dict(model.named_parameters()), self.learner.objectives.values()
        for name, tensor in beginnings(model, saved).items():
            if name in self.weights.tensors:
                self.weights.tensors[name].copy_(tensor)
            elif any(one.teaches(group_of(name)) for one in teaches) and not _alike(tensor, now[name]):
                raise CheckpointError(
                    f"critic_init, {saved.init.origin}: {name} is another there than in the policy, and a critic has "
                    f"weights of its own only in what its stage trains; add {group_of(name)} to train, or name in "
                    "critic_init.groups what shall be taken"
                )

    def tensors(self) -> dict[str, Tensor]:
        """Its weights and its optimizer's state, for a checkpoint."""
        state = optimizer_tensors(self.learner.optimizer)
        own = {f"{WEIGHTS}/{name}": tensor for name, tensor in self.weights.tensors.items()}
        return own | {f"{OPTIMIZER}/{name}": tensor for name, tensor in state.items()}

    def load(self, tensors: Mapping[str, Tensor], watch: Mapping[str, Any]) -> None:
        """Go on from what `tensors` gave, and from what had received gradients.

        Raises:
            CheckpointError: They are those of another critic.
        """
        parts: dict[str, dict[str, Tensor]] = {WEIGHTS: {}, OPTIMIZER: {}}
        for full, tensor in tensors.items():
            part, _, name = full.partition("/")
            parts[part][name] = tensor
        found, needed = ({n: t.shape for n, t in own.items()} for own in (parts[WEIGHTS], self.weights.tensors))
        if found != needed:
            raise CheckpointError(
                f"found a critic of {len(found)} parameters, needed the {len(needed)} of this stage's; restore the "
                "part that has changed, or choose another run folder"
            )
        for name, tensor in parts[WEIGHTS].items():
            self.weights.tensors[name].copy_(tensor)
        load_optimizer_tensors(self.learner.optimizer, parts[OPTIMIZER])
        self.learner.watch.load_state_dict(watch)


def together(policy: dict[str, Any], critic: dict[str, Any]) -> dict[str, Any]:
    """One record of an update of both: what is told of groups is the critic's where `critic.` stands before them."""
    both = {name: policy.get(name, {}) | critic.get(name, {}) for name in ("losses", "diagnostics", "units")}
    own = {name: {f"critic.{group}": value for group, value in critic[name].items()} for name in ("lr", "grad_norms")}
    return policy | both | {name: policy[name] | found for name, found in own.items()}


def _alike(there: Tensor, here: Tensor) -> bool:
    return there.shape == here.shape and torch.equal(there.to(here.device, here.dtype), here.detach())


@contextmanager
def _told() -> Iterator[None]:
    """Say of an error that it is the critic's."""
    try:
        yield
    except TrainingError as error:
        raise TrainingError(f"the critic: {error}") from error

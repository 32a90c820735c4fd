"""Learning online by policy gradients: replies are drawn, judged, and made likelier where they were better than others.

PPO, RLOO, REINFORCE, GRPO and its kin differ in a few choices: here the advantage, and in the objective `policy` the
ratio, the clip, the aggregation and the divergence.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from modalink.model.batch import Prepared
from modalink.training import parallel
from modalink.training.drawn import logprobs_of, sample_of
from modalink.training.policy_gradient import Advantage, outcome_advantages
from modalink.training.rollouts import Group
from modalink.training.stages._rollouts import Policy, RolloutStageConfig, Teacher


class OnlineConfig(RolloutStageConfig):
    """Policy gradients on replies that are drawn for the prompts of the data and judged by rewards."""

    kind: Literal["online"] = "online"
    advantage: Advantage = "grpo"
    """What a reply is compared with: `grpo`, the prompt's others, by their mean and standard deviation; `dr_grpo`, by
    their mean alone; `batch`, by the standard deviation of all; `rloo`, by the mean of the others alone; `reinforce`,
    the mean of all replies of the step."""
    kl_in_reward: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the divergence from the state in which the stage began (k1, summed over tokens) taken from each reward
    (RLOO: 0.05), instead of, or beside, that of the objective."""
    updates: PositiveInt = 1
    """Updates from the replies of a step: `batch` is divided into so many parts."""
    inner_epochs: PositiveInt = 1
    """How often the replies of a step are learned from."""
    mixed: PositiveInt | None = None
    """Prompts of a step that are learned from, of those whose replies differ in worth: drawing ends when there are so
    many (dynamic sampling, DAPO). None learns from all prompts."""
    learns_cut: bool = True
    """Whether replies that were cut at their longest length teach (over-long masking where not)."""

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.batch % self.updates:
            raise ValueError(f"found batch {self.batch} and {self.updates} updates, needed a batch that they divide")
        if self.mixed is not None and self.mixed > self.batch:
            raise ValueError(f"found mixed {self.mixed} of a batch of {self.batch} prompts, needed as many at most")
        if self.replies < 2 and self.advantage != "reinforce":
            raise ValueError(f"advantage {self.advantage} compares the replies to a prompt, needed two at least")
        if not any(objective.kind == "policy" for objective in self.objectives):
            raise ValueError("found no objective `policy`, needed one: it learns from what is drawn")
        return self

    def with_batch(self, size: int) -> Self:
        return self.replace(batch=size, micro_batch=None, updates=1, mixed=None)

    def small(self) -> dict[str, Any]:
        """One update a step, from all that is drawn."""
        return super().small() | {"updates": 1, "mixed": None}

    def enough(self, prompts: int) -> int | None:
        return None if self.mixed is None else max(1, self.mixed // parallel.world())

    def taught(self, policy: Policy, groups: Sequence[Group]) -> list[Prepared]:
        system, how = policy.learner.system, policy.how
        made = [sample_of(system, group, how, learns_cut=self.learns_cut) for group in self._chosen(groups)]
        samples = [sample for sample in made if sample is not None]
        old = logprobs_of(policy.learner, samples)
        reference = logprobs_of(policy.learner, samples, policy.start)
        return [*_told(samples, old, reference, self._advantages(samples, old, reference))]

    def learn(self, teacher: Teacher, step: int, groups: Sequence[Group]) -> dict[str, Any]:
        signal = self._signal(groups)
        if not signal:
            return teacher.nothing(step, groups) | {"signal": signal}
        samples = self.taught(teacher.policy, groups)
        parts = [part for part in self._parts(samples) if parallel.summed([float(len(part))])[0]]
        records = [teacher.policy.learner.learn(step, part) for part in parts]
        loss = sum(record["loss"] for record in records) / len(records)
        return records[-1] | {"loss": loss, "kl": divergence(samples), "signal": signal}

    def _signal(self, groups: Sequence[Group]) -> float:
        """The share of prompts, of all processes, whose replies teach something."""
        mixed, prompts = parallel.summed([float(sum(group.is_mixed for group in groups)), float(len(groups))])
        if self.advantage == "reinforce":
            rewards = parallel.gathered([reward for group in groups for reward in group.rewards])
            return float(len({*rewards}) > 1)
        return mixed / max(1.0, prompts)

    def _chosen(self, groups: Sequence[Group]) -> list[Group]:
        if (most := self.enough(len(groups))) is None:
            return [*groups]
        return [group for group in groups if group.is_mixed][:most]

    def _advantages(
        self, samples: Sequence[Prepared], old: Sequence[Sequence[float]], reference: Sequence[Sequence[float]]
    ) -> list[float]:
        """One a reply."""
        moved = [sum(own) - sum(before) for own, before in zip(old, reference, strict=True)]
        rows, rewards = iter(moved), []
        for sample in samples:
            worth = [side.judgement.score or 0.0 for side in sample.sides]
            rewards.append([reward - self.kl_in_reward * next(rows) for reward in worth])
        everything = parallel.gathered([reward for own in rewards for reward in own])
        return [value for own in outcome_advantages(rewards, self.advantage, everything) for value in own]

    def _parts(self, samples: Sequence[Prepared]) -> Iterator[list[Prepared]]:
        """The samples of each update, as many updates on every process."""
        for _ in range(self.inner_epochs):
            for number in range(self.updates):
                yield [*samples[number :: self.updates]]


def _told(
    samples: Sequence[Prepared],
    old: Sequence[Sequence[float]],
    reference: Sequence[Sequence[float]],
    advantages: Sequence[float],
) -> Iterator[Prepared]:
    """The samples with what training needs of their replies, which are numbered through."""
    rows = zip(old, reference, advantages, strict=True)
    for sample in samples:
        sides = [_with(side, *next(rows)) for side in sample.sides]
        yield replace(sides[0], alternatives=tuple(sides[1:]))


def _with(side: Prepared, old: Sequence[float], reference: Sequence[float], advantage: float) -> Prepared:
    assert side.sampled is not None
    advantages = (advantage,) * len(old)
    sampled = replace(side.sampled, old=tuple(old), reference=tuple(reference), advantages=advantages)
    return replace(side, alternatives=(), sampled=sampled)


def divergence(samples: Sequence[Prepared]) -> float:
    """The mean of k3 over the tokens of all processes: how far the policy has gone, never negative."""
    drawn = [side.sampled for sample in samples for side in sample.sides if side.sampled is not None]
    pairs = [before - own for one in drawn for own, before in zip(one.old, one.reference, strict=True)]
    total, count = parallel.summed([sum(math.exp(d) - d - 1 for d in pairs), float(len(pairs))])
    return total / max(1.0, count)

"""Learning online by policy gradients: replies are drawn, judged, and made likelier where they were better than others.

PPO, RLOO, REINFORCE, GRPO and its kin differ in a few choices: here the advantage, and in the objective `policy` the
ratio, the clip, the aggregation and the divergence.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from modalink.model.prepared import Prepared
from modalink.recipe import Init, TrainGroup
from modalink.recipe.groups import VALUE_HEAD, Group
from modalink.training import parallel
from modalink.training.drawn import Numbers, numbers_of, sample_of
from modalink.training.policy_gradient import Comparison, outcome_advantages
from modalink.training.rollouts import Group as Drawn
from modalink.training.stages._rollouts import Policy, RolloutStageConfig, Teacher
from modalink.training.token_advantages import Gae, Judged, token_advantages
from modalink.yaml_files import Loc


class OnlineConfig(RolloutStageConfig):
    """Policy gradients on replies that are drawn for the prompts of the data and judged by rewards."""

    kind: Literal["online"] = "online"
    advantage: Comparison | Literal["gae"] = "grpo"
    """What a reply is compared with: `grpo`, the prompt's others, by their mean and standard deviation; `dr_grpo`, by
    their mean alone; `batch`, by the standard deviation of all; `rloo`, by the mean of the others alone; `reinforce`,
    the mean of all replies of the step; `gae`, what the LLM's value head expects at each token (PPO)."""
    gae: Gae = Gae()
    """How advantages are estimated from values, for `gae`."""
    critic: Literal["shared", "own"] = "shared"
    """What expects rewards, for `gae`: the value head on the policy's states, which both losses then form (`shared`);
    or a model of its `own`, a copy of the groups that the stage trains, with the head, that learns from the objective
    `value` alone. It is resumed with the stage, and not handed on."""
    critic_lr: PositiveFloat | None = None
    """Peak learning rate of the copies of an own critic; None has those of `train`, as the head always has."""
    critic_init: Init | None = None
    """What an own critic starts from instead of the policy as the stage begins, for example a reward model:
    {from: runs/judge, renamed: {llm.value_head: llm.reward_head}}."""
    kl_in_reward: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the divergence from the state in which the stage began (k1) taken from each reward (RLOO, PPO: 0.05),
    instead of, or beside, that of the objective: by `gae` from that of each token, else summed over tokens."""
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
        if self.replies < 2 and self.advantage not in ("reinforce", "gae"):
            raise ValueError(f"advantage {self.advantage} compares the replies to a prompt, needed two at least")
        if not any(objective.kind == "policy" for objective in self.objectives):
            raise ValueError("found no objective `policy`, needed one: it learns from what is drawn")
        return self

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        learned = any(objective.kind == "value" for objective in self.objectives)
        if self.advantage != "gae" and self.gae != Gae():
            raise ValueError(f"found gae and advantage {self.advantage}, which knows no values; set advantage: gae")
        if learned != (self.advantage == "gae"):
            raise ValueError(
                f"found advantage {self.advantage} {'with' if learned else 'without'} the objective `value`, needed "
                "advantage: gae and objectives: [{kind: policy}, {kind: value}] together"
            )
        if learned and VALUE_HEAD not in self.train:
            raise ValueError(f"found the objective `value`, whose head nothing trains; add {VALUE_HEAD} to train")
        return self

    @model_validator(mode="after")
    def _critic_fits(self) -> Self:
        idle = [name for name in ("critic_lr", "critic_init") if getattr(self, name) is not None]
        if self.critic == "shared":
            if idle:
                raise ValueError(f"found {idle[0]} and critic: shared, which is the policy itself; set critic: own")
            return self
        if self.advantage != "gae":
            raise ValueError(
                f"found critic: own and advantage {self.advantage}, which knows no values; set advantage: gae"
            )
        if not self._of_policy():
            raise ValueError(
                f"found critic: own and nothing but {VALUE_HEAD} in train; name what the policy learns, too"
            )
        if self.critic_lr is not None and not self._of_critic().keys() - {VALUE_HEAD}:
            raise ValueError("found critic_lr, and no group in train on which values depend; leave it out")
        return self

    def _of_policy(self) -> dict[str, TrainGroup]:
        return {group: how for group, how in self.train.items() if group != VALUE_HEAD}

    def _of_critic(self) -> dict[str, TrainGroup]:
        """The groups on which values depend."""
        learned = [objective for objective in self.objectives if "values" in objective.needs]
        rate = {} if self.critic_lr is None else {"lr": self.critic_lr}
        return {
            group: how if group == VALUE_HEAD else how.replace(**rate)
            for group, how in self.train.items()
            if any(objective.teaches(Group(group)) for objective in learned)
        }

    def of_policy(self) -> "OnlineConfig":
        if self.critic == "shared":
            return self
        objectives = [objective for objective in self.objectives if "values" not in objective.needs]
        return self.model_copy(update={"train": self._of_policy(), "objectives": objectives, "critic": "shared"})

    def of_critic(self) -> "OnlineConfig | None":
        if self.critic == "shared":
            return None
        objectives = [objective for objective in self.objectives if "values" in objective.needs]
        own = {"train": self._of_critic(), "objectives": objectives, "init": self.critic_init, "ema": None}
        return self.model_copy(update=own | {"critic": "shared"})

    def names_stages(self) -> Iterator[tuple[Loc, str]]:
        yield from super().names_stages()
        if self.critic_init is not None and self.critic_init.source is None and self.critic_init.stage is not None:
            yield ("critic_init", "stage"), self.critic_init.stage

    def with_batch(self, size: int) -> Self:
        return self.replace(batch=size, micro_batch=None, updates=1, mixed=None)

    def small(self) -> dict[str, Any]:
        """One update a step, from all that is drawn; a critic has the tiny rates, and of no other run the weights."""
        own = self.critic_init is not None and self.critic_init.source is None
        init = self.model_dump(mode="json")["critic_init"] if own else None
        return super().small() | {"updates": 1, "mixed": None, "critic_lr": None, "critic_init": init}

    def enough(self, prompts: int) -> int | None:
        return None if self.mixed is None else max(1, self.mixed // parallel.world())

    def taught(self, policy: Policy, groups: Sequence[Drawn]) -> list[Prepared]:
        return self._taught(policy, groups)[0]

    def _taught(self, policy: Policy, groups: Sequence[Drawn]) -> tuple[list[Prepared], dict[str, float]]:
        """The same, and what is measured of the values."""
        system, how = policy.learner.system, policy.how
        made = [sample_of(system, group, how, learns_cut=self.learns_cut) for group in self._chosen(groups)]
        samples = [sample for sample in made if sample is not None]
        shared = self.advantage == "gae" and policy.critic is None
        old = numbers_of(policy.learner, samples, {"logits", "values"} if shared else {"logits"})
        reference = numbers_of(policy.learner, samples, start=policy.start)
        if self.advantage == "gae":
            values = old.values if policy.critic is None else policy.critic.values(samples)
            return self._by_values(samples, Numbers(old.logprobs, values), reference)
        advantages = self._advantages(samples, old, reference)
        rows = [(own,) * len(row) for own, row in zip(advantages, old.logprobs, strict=True)]
        fields = _rows(old=old.logprobs, reference=reference.logprobs, advantages=rows)
        return [*_told(samples, fields)], {}

    def learn(self, teacher: Teacher, step: int, groups: Sequence[Drawn]) -> dict[str, Any]:
        signal = self._signal(groups)
        if not signal and self.advantage != "gae":
            return teacher.nothing(step, groups) | {"signal": signal}
        samples, measured = self._taught(teacher.policy, groups)
        parts = [part for part in self._parts(samples) if parallel.summed([float(len(part))])[0]]
        if not parts:
            return teacher.nothing(step, groups) | {"signal": signal}
        records = [teacher.policy.learn(step, part) for part in parts]
        return _together(records) | measured | {"kl": divergence(samples), "signal": signal}

    def _signal(self, groups: Sequence[Drawn]) -> float:
        """The share of prompts, of all processes, whose replies teach something."""
        mixed, prompts = parallel.summed([float(sum(group.is_mixed for group in groups)), float(len(groups))])
        if self.advantage in ("reinforce", "gae"):
            rewards = parallel.gathered([reward for group in groups for reward in group.rewards])
            return float(len({*rewards}) > 1 or (self.advantage == "gae" and len(rewards) == 1))
        return mixed / max(1.0, prompts)

    def _chosen(self, groups: Sequence[Drawn]) -> list[Drawn]:
        if (most := self.enough(len(groups))) is None:
            return [*groups]
        return [group for group in groups if group.is_mixed][:most]

    def _advantages(self, samples: Sequence[Prepared], old: Numbers, reference: Numbers) -> list[float]:
        """One a reply, from its comparison with others."""
        assert self.advantage != "gae"
        moved = [sum(own) - sum(before) for own, before in zip(old.logprobs, reference.logprobs, strict=True)]
        rows, rewards = iter(moved), []
        for sample in samples:
            rewards.append([_worth(side) - self.kl_in_reward * next(rows) for side in sample.sides])
        everything = parallel.gathered([reward for own in rewards for reward in own])
        return [value for own in outcome_advantages(rewards, self.advantage, everything) for value in own]

    def _by_values(
        self, samples: Sequence[Prepared], old: Numbers, reference: Numbers
    ) -> tuple[list[Prepared], dict[str, float]]:
        """The samples with an advantage of each token, from what the value head expected."""
        sides = [side for sample in samples for side in sample.sides]
        rows = zip(sides, old.logprobs, reference.logprobs, old.values, strict=True)
        judged = [Judged(_worth(side), own, start, values, _counts(side)) for side, own, start, values in rows]
        found = token_advantages(judged, self.gae, self.kl_in_reward)
        told = {"old": old.logprobs, "reference": reference.logprobs, "values": old.values}
        fields = _rows(**told, advantages=found.advantages, returns=found.returns)
        return [*_told(samples, fields)], {"explained_variance": found.explained}

    def _parts(self, samples: Sequence[Prepared]) -> Iterator[list[Prepared]]:
        """The samples of each update, as many updates on every process."""
        for _ in range(self.inner_epochs):
            for number in range(self.updates):
                yield [*samples[number :: self.updates]]


def _worth(side: Prepared) -> float:
    return side.judgement.score or 0.0


def _counts(side: Prepared) -> bool:
    return side.sampled is not None and side.sampled.counts


def _rows(**columns: Sequence[Sequence[float]]) -> Iterator[dict[str, tuple[float, ...]]]:
    """The fields of `Sampled` of each reply, from those of all replies by name."""
    for rows in zip(*columns.values(), strict=True):
        yield {name: tuple(row) for name, row in zip(columns, rows, strict=True)}


def _told(samples: Sequence[Prepared], fields: Iterator[dict[str, tuple[float, ...]]]) -> Iterator[Prepared]:
    """The samples with what training needs of their replies, which are numbered through."""
    for sample in samples:
        sides = [_with(side, next(fields)) for side in sample.sides]
        yield replace(sides[0], alternatives=tuple(sides[1:]))


def _with(side: Prepared, fields: Mapping[str, Any]) -> Prepared:
    assert side.sampled is not None
    return replace(side, alternatives=(), sampled=replace(side.sampled, **fields))


def _together(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One record of several updates: the last, with means of what differs from one to the other."""
    means = {name: _means([record.get(name, {}) for record in records]) for name in ("losses", "diagnostics")}
    loss = sum(record["loss"] for record in records) / len(records)
    return records[-1] | {"loss": loss} | {name: found for name, found in means.items() if name in records[-1]}


def _means(found: Sequence[dict[str, float]]) -> dict[str, float]:
    held = {name: [own[name] for own in found if name in own] for own in found for name in own}
    return {name: sum(values) / len(values) for name, values in held.items()}


def divergence(samples: Sequence[Prepared]) -> float:
    """The mean of k3 over the tokens of all processes: how far the policy has gone, never negative."""
    drawn = [side.sampled for sample in samples for side in sample.sides if side.sampled is not None]
    pairs = [before - own for one in drawn for own, before in zip(one.old, one.reference, strict=True)]
    total, count = parallel.summed([sum(math.exp(d) - d - 1 for d in pairs), float(len(pairs))])
    return total / max(1.0, count)

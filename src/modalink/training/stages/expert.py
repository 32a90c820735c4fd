"""Learning from the best of the replies that the system draws: best of n, and rejection sampling, with fine-tuning.

Sources: RAFT (arXiv 2304.06767), rejection sampling in Llama 2 (2307.09288, section 3.2.3), ReST (2308.08998).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import model_validator

from modalink.model.prepared import Prepared
from modalink.training import parallel
from modalink.training.drawn import side_of
from modalink.training.rollouts import Group, Reply
from modalink.training.stages._rollouts import Policy, RolloutStageConfig, Teacher


class ExpertConfig(RolloutStageConfig):
    """The objectives' losses, as `language`, on those replies of the system that are good."""

    kind: Literal["expert"] = "expert"
    takes: Literal["best", "passing"] = "best"
    """Of each prompt the best reply, or all that reach `at_least`, equal ones once."""
    at_least: float | None = None
    """Least reward of a reply that is learned; None: any is good enough to be the best."""

    @model_validator(mode="after")
    def _a_bar_to_pass(self) -> Self:
        if self.takes == "passing" and self.at_least is None:
            raise ValueError("takes passing replies, and needs `at_least`: the reward from which they pass")
        return self

    def taught(self, policy: Policy, groups: Sequence[Group]) -> list[Prepared]:
        system, how = policy.learner.system, policy.how
        pairs = [(group.prompt, reply) for group in groups for reply in self._taken(group)]
        return [replace(side_of(system, prompt, reply, how), sampled=None) for prompt, reply in pairs]

    def learn(self, teacher: Teacher, step: int, groups: Sequence[Group]) -> dict[str, Any]:
        samples = self.taught(teacher.policy, groups)
        taken = parallel.summed([float(len(samples)), sum(sample.judgement.score or 0.0 for sample in samples)])
        told = {"taken": int(taken[0]), "taken_reward": taken[1] / max(1.0, taken[0])}
        if not taken[0]:
            return teacher.nothing(step, groups) | told
        return teacher.policy.learner.learn(step, samples) | told

    def _taken(self, group: Group) -> list[Reply]:
        good = [
            r for r in group.replies if r.reward is not None and (self.at_least is None or r.reward >= self.at_least)
        ]
        if self.takes == "best":
            return [max(good, key=lambda reply: reply.reward or 0.0)] if good else []
        return [*{reply.ids: reply for reply in reversed(good)}.values()]

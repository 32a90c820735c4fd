"""Preference learning from pairs that the system draws itself: of each prompt's replies the best and the worst.

Source: online DPO (arXiv 2402.04792), with rewards in the place of a judge of pairs.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from modalink.model.prepared import Prepared
from modalink.training import parallel
from modalink.training.drawn import sample_of
from modalink.training.rollouts import Group
from modalink.training.stages._rollouts import Policy, RolloutStageConfig, Teacher


class OnlinePreferenceConfig(RolloutStageConfig):
    """The objectives' losses, as `dpo`, on the best and the worst of the replies that are drawn for a prompt."""

    kind: Literal["online_preference"] = "online_preference"
    gap: Annotated[float, Field(ge=0)] = 0.0
    """By how much the best reply must be better than the worst; a prompt whose replies are equally good makes no
    pair."""

    @model_validator(mode="after")
    def _two_sides(self) -> Self:
        if self.replies < 2:
            raise ValueError("found one reply a prompt, needed two at least: the better and the worse")
        return self

    def taught(self, policy: Policy, groups: Sequence[Group]) -> list[Prepared]:
        pairs = [pair for group in groups if (pair := self._pair(group)) is not None]
        made = [sample_of(policy.learner.system, pair, policy.how) for pair in pairs]
        return [sample for sample in made if sample is not None]

    def learn(self, teacher: Teacher, step: int, groups: Sequence[Group]) -> dict[str, Any]:
        samples = self.taught(teacher.policy, groups)
        count = parallel.summed([float(len(samples))])[0]
        if not count:
            return teacher.nothing(step, groups) | {"pairs": 0}
        return teacher.policy.learner.learn(step, samples) | {"pairs": int(count)}

    def _pair(self, group: Group) -> Group | None:
        known = sorted((r for r in group.replies if r.reward is not None), key=lambda reply: -(reply.reward or 0.0))
        if not group.is_mixed or (known[0].reward or 0.0) - (known[-1].reward or 0.0) < self.gap:
            return None
        return replace(group, replies=(known[0], known[-1]))

"""What a reward model of one's own says: a run that a stage of `kind: reward` has taught to score replies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from modalink.conversation import Conversation, Turn
from modalink.data.steps import divided, marked
from modalink.errors import DataError, PartError, PromptError
from modalink.inference.loading import load_system
from modalink.model import System
from modalink.model.batch import Prepared, step_ends
from modalink.model.sides import Judgement as Sided
from modalink.rewards import Answered, Judgement, Reward, RewardConfig

_OVER: Mapping[str, Callable[[Tensor], Tensor]] = {
    "min": torch.min,
    "mean": torch.mean,
    "last": lambda steps: steps[-1],
    "product": torch.prod,
}
"""One number of those of a reply's steps."""


class ModelRewardConfig(RewardConfig):
    """The score of a run's reward head at the last token of the conversation with the reply, or at the ends of the
    reply's steps. A reply whose media cannot be read has none."""

    kind: Literal["model"] = "model"
    run: str
    """Run folder, saved system or hub id of one, whose LLM has a reward head (`llm.reward_head`)."""
    separator: Annotated[str, Field(min_length=1)] | None = None
    """What stands behind each step of a reply, of a model that has learned to judge steps (`process`)."""
    over: Literal["min", "mean", "last", "product"] = "min"
    """What a reply is worth of the probabilities that its steps are right (VisualPRM: `mean`; PRM800K: `product`)."""
    batch: int = Field(default=8, ge=1, le=4096)
    """How many replies are scored at a time."""

    def build(self, device: str = "cpu") -> Reward:
        """The reward; the run is loaded when it is first asked."""
        return ModelReward(self, device)


@dataclass(frozen=True)
class ModelReward(Reward):
    """Scores replies by a system's reward head."""

    config: ModelRewardConfig
    device: str

    @cached_property
    def system(self) -> System:
        """The run's system.

        Raises:
            PartError: It has no reward head.
        """
        system = load_system(self.config.run, generators=False)
        if system.model.reward_head is None:
            raise PartError(
                f"{self.config.run}: found a run that scores no replies; needed one with llm.reward_head: true and a "
                "stage of kind: reward"
            )
        system.model.requires_grad_(False)
        system.model.to(self.device).eval()
        return system

    def judge(self, answers: Sequence[Answered]) -> list[Judgement]:
        ready = [self._prepared(answer) for answer in answers]
        good = [number for number, one in enumerate(ready) if isinstance(one, Prepared)]
        samples = [one for one in ready if isinstance(one, Prepared)]
        values: list[float] = []
        for start in range(0, len(samples), self.config.batch):
            values += self._scores(samples[start : start + self.config.batch])
        found = dict(zip(good, values, strict=True))
        return [one if isinstance(one, Judgement) else Judgement(found[n]) for n, one in enumerate(ready)]

    def _prepared(self, answer: Answered) -> Prepared | Judgement:
        steps = None if self.config.separator is None else divided(answer.reply, self.config.separator)
        if steps == []:
            return Judgement(None, "the reply has no step with words")
        reply = answer.reply if steps is None else marked(steps, str(self.config.separator))
        turns = (*answer.conversation.turns, Turn("assistant", reply))
        try:
            sample = self.system.prepare(Conversation(turns, answer.conversation.id)).loaded()
        except (DataError, PromptError) as error:
            return Judgement(None, str(error))
        return (
            sample if steps is None else replace(sample, judgement=Sided(steps=(None,) * len(step_ends(sample.labels))))
        )

    @torch.no_grad()
    def _scores(self, samples: Sequence[Prepared]) -> list[float]:
        batch = self.system.batch(samples).to(self.device)
        with self.system.lock:
            output = self.system.model(**batch.inputs(logits=False, conditions=False), output_hidden_states=True)
            assert output.hidden_states is not None
            places = batch.ends if self.config.separator is None else batch.steps
            scores = self.system.model.rewards(output.hidden_states[-1], places)
        if self.config.separator is None:
            return [*scores.tolist()]
        each = scores.double().sigmoid().split([len(side.judgement.steps) for side in batch.sides])
        return [float(_OVER[self.config.over](steps)) for steps in each]

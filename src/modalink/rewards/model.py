"""What a reward model of one's own says: a run that a stage of `kind: reward` has taught to score replies."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from pydantic import Field

from modalink.conversation import Conversation, Turn
from modalink.errors import DataError, PartError, PromptError
from modalink.inference.loading import load_system
from modalink.model import System
from modalink.model.batch import Prepared
from modalink.rewards import Answered, Judgement, Reward, RewardConfig


class ModelRewardConfig(RewardConfig):
    """The score of a run's reward head at the last token of the conversation with the reply. A reply whose media cannot
    be read has none."""

    kind: Literal["model"] = "model"
    run: str
    """Run folder, saved system or hub id of one, whose LLM has a reward head (`llm.reward_head`)."""
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
        turns = (*answer.conversation.turns, Turn("assistant", answer.reply))
        try:
            return self.system.prepare(Conversation(turns, answer.conversation.id)).loaded()
        except (DataError, PromptError) as error:
            return Judgement(None, str(error))

    @torch.no_grad()
    def _scores(self, samples: Sequence[Prepared]) -> list[float]:
        batch = self.system.batch(samples).to(self.device)
        with self.system.lock:
            output = self.system.model(**batch.inputs(logits=False, conditions=False), output_hidden_states=True)
            assert output.hidden_states is not None
            scores: list[float] = self.system.model.rewards(output.hidden_states[-1], batch.ends).tolist()
        return scores

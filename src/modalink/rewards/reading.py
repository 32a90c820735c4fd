"""How likely a run finds the words that a medium should show, when it is shown what was made.

A likelihood of words given the medium, as VQAScore (arXiv 2404.01291) has it for "yes"; here of the whole caption.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from modalink.errors import PartError
from modalink.inference.loading import load
from modalink.rewards import Answered, Differentiable, Judgement, Reward, RewardConfig
from modalink.rewards._reader import QUESTION, Reader
from modalink.rewards._texts import listed


class ReadingConfig(RewardConfig):
    """The mean log-probability of the words' tokens, in nats, by a run of one's own that reads such media. Of pictures
    it has gradients, so that `reward_gradient` can follow it."""

    kind: Literal["reading"] = "reading"
    run: str
    """Run folder, saved system or hub id of one; it should not be the one that learns."""
    question: str = QUESTION
    """What it is asked about the medium."""
    fact: str = "captions"
    """Fact of the record that says what a medium should show; else the words of the request."""
    batch: int = Field(default=32, ge=1, le=4096)
    """How many media are read at a time."""

    def tiny(self) -> RewardConfig:
        """There is none: no run ships."""
        return super(RewardConfig, self).tiny()  # type: ignore[return-value]

    def build(self, device: str = "cpu") -> Reward:
        """The reward; the run is loaded when it is first asked."""
        return ReadingReward(self, device)


@dataclass(frozen=True)
class ReadingReward(Reward, Differentiable):
    """Asks a run how likely it finds words of media."""

    config: ReadingConfig
    device: str

    @cached_property
    def reader(self) -> Reader:
        """What reads.

        Raises:
            CheckpointError: There is no such run.
            PartError: It reads nothing.
        """
        system = load(self.config.run, generators=False, device=self.device).system
        if not system.processor.readers:
            raise PartError(f"{self.config.run}: found a system that reads no media, needed one that does")
        system.model.requires_grad_(False)
        device = next(system.model.parameters()).device
        return Reader(system, device, self.config.question, name=f"the reward 'reading' ({self.config.run})")

    def judge(self, answers: Sequence[Answered]) -> list[Judgement]:
        pairs = [self._pair(answer) for answer in answers]
        found: dict[int, float] = {}
        for modality in self.reader.system.processor.readers:
            own = [i for i, pair in enumerate(pairs) if not isinstance(pair, Judgement) and pair[0] == modality]
            for start in range(0, len(own), self.config.batch):
                chosen = own[start : start + self.config.batch]
                media, words = zip(*(pairs[i][1:] for i in chosen), strict=True)  # type: ignore[index]
                found.update(zip(chosen, self.reader.score(modality, media, words).tolist(), strict=True))
        return [pair if isinstance(pair, Judgement) else Judgement(found[i]) for i, pair in enumerate(pairs)]

    def gradient(
        self, modality: str, seen: Float[Tensor, "i ..."], captions: Sequence[str]
    ) -> tuple[Float[Tensor, " i"], Float[Tensor, "i ..."]]:
        with torch.autocast(seen.device.type, enabled=False):
            return self.reader.gradient(modality, seen, captions)

    def _pair(self, answer: Answered) -> tuple[str, Any, str] | Judgement:
        made = [(m, answer.made(m)[-1]) for m in self.reader.system.processor.readers if answer.made(m)]
        wanted = answer.facts.get(self.config.fact)
        words = str(listed(wanted)[0]) if wanted else answer.question
        return (*made[-1], words) if made else Judgement(None, "the reply made nothing that the run reads")

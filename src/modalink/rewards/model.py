"""What a reward model of one's own says: a run, or a stage before, that a stage of `kind: reward` has taught."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from modalink import files
from modalink.conversation import Conversation, Turn
from modalink.data.steps import divided, marked
from modalink.errors import CheckpointError, DataError, PartError, PromptError, SampleError
from modalink.inference.loading import load_system
from modalink.kinds import Name
from modalink.model import System
from modalink.model.collating import step_ends
from modalink.model.prepared import Prepared
from modalink.model.sides import Judgement as Sided
from modalink.recipe import Stage
from modalink.recipe.groups import REWARD_HEAD
from modalink.rewards import Answered, Judgement, OwnRun, Reward, RewardConfig
from modalink.runs.folder import RECIPE, read_recipe

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
    run: str | None = None
    """Run folder, saved system or hub id of one, whose LLM has a reward head (`llm.reward_head`)."""
    stage: Name | None = None
    """In the place of `run`: an earlier stage of the same recipe, of kind `reward`. It is no second model: what has
    learned since is exchanged for what it was then, and back."""
    separator: Annotated[str, Field(min_length=1)] | None = None
    """What stands behind each step of a reply, of a model that has learned to judge steps (`process`)."""
    over: Literal["min", "mean", "last", "product"] = "min"
    """What a reply is worth of the probabilities that its steps are right (VisualPRM: `mean`; PRM800K: `product`)."""
    batch: int = Field(default=8, ge=1, le=4096)
    """How many replies are scored at a time."""

    @model_validator(mode="after")
    def _one_judge(self) -> Self:
        if (self.run is None) == (self.stage is None):
            found = f"found run {self.run!r} and stage {self.stage!r}"
            raise ValueError(f"{found}, needed exactly one of the two: who scores")
        return self

    @property
    def by_stage(self) -> str | None:
        return self.stage

    def tiny(self) -> RewardConfig:
        """Itself where a stage before it judges; no run ships."""
        return self if self.stage is not None else super(RewardConfig, self).tiny()  # type: ignore[return-value]

    def build(self, device: str = "cpu") -> Reward:
        """The reward; the run is loaded when it is first asked.

        Raises:
            PartError: A stage is named, and no run asks.
        """
        if self.run is None:
            raise PartError(f"the reward 'model' of the stage {self.stage} is asked within its run alone; name a run")
        return ModelReward(self, _Loaded(self.run, device))

    def build_in(self, own: OwnRun, device: str = "cpu") -> Reward:
        return self.build(device) if self.stage is None else ModelReward(self, _Before(own, self.stage))


class _Scorer(ABC):
    """A system with a reward head."""

    @property
    @abstractmethod
    def system(self) -> System:
        """It, for what stands in no weights."""

    @property
    @abstractmethod
    def taught(self) -> Stage | None:
        """The stage that taught it to score; None where that is not known."""

    @abstractmethod
    def asked(self) -> AbstractContextManager[None]:
        """Inside, the system scores."""


@dataclass(frozen=True)
class _Loaded(_Scorer):
    """A run that is loaded for it."""

    run: str
    device: str

    @cached_property
    def system(self) -> System:
        """The run's system.

        Raises:
            PartError: It has no reward head.
        """
        system = load_system(self.run, generators=False)
        if system.model.reward_head is None:
            raise PartError(
                f"{self.run}: found a run that scores no replies; needed one with llm.reward_head: true and a "
                "stage of kind: reward"
            )
        system.model.requires_grad_(False)
        system.model.to(self.device).eval()
        return system

    @cached_property
    def taught(self) -> Stage | None:
        folder = files.named(self.run, CheckpointError)
        stages = read_recipe(folder).stages if (folder / RECIPE).is_file() else []
        return next((stage for stage in reversed(stages) if REWARD_HEAD in stage.train), None)

    def asked(self) -> AbstractContextManager[None]:
        return nullcontext()


@dataclass(frozen=True)
class _Before(_Scorer):
    """The system of the run that asks, as an earlier stage has left it."""

    own: OwnRun
    name: str

    @property
    def system(self) -> System:
        return self.own.system

    @property
    def taught(self) -> Stage | None:
        return self.own.stage(self.name)

    def asked(self) -> AbstractContextManager[None]:
        return self.own.after(self.name)


@dataclass(frozen=True)
class ModelReward(Reward):
    """Scores replies by a system's reward head."""

    config: ModelRewardConfig
    scorer: _Scorer

    @property
    def system(self) -> System:
        """The system that scores."""
        return self.scorer.system

    def judge(self, answers: Sequence[Answered]) -> list[Judgement]:
        ready = [self._prepared(answer) for answer in answers]
        good = [number for number, one in enumerate(ready) if isinstance(one, Prepared)]
        samples = [one for one in ready if isinstance(one, Prepared)]
        values: list[float] = []
        with self.scorer.asked():
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
        judged, taught = Conversation(turns, answer.conversation.id, answer.facts), self.scorer.taught
        try:
            seen = judged if taught is None else taught.shown(judged, self.system.spec)
            sample = self.system.prepare(seen).loaded()
        except SampleError as error:
            return Judgement(None, str(error), applies=error.reason != "no_fact")
        except (DataError, PromptError) as error:
            return Judgement(None, str(error))
        return (
            sample if steps is None else replace(sample, judgement=Sided(steps=(None,) * len(step_ends(sample.labels))))
        )

    @torch.no_grad()
    def _scores(self, samples: Sequence[Prepared]) -> list[float]:
        batch = self.system.batch(samples).to(self.system.model.device)
        with self.system.lock:
            output = self.system.model(**batch.inputs(logits=False, conditions=False), output_hidden_states=True)
            assert output.hidden_states is not None
            places = batch.ends if self.config.separator is None else batch.steps
            scores = self.system.model.rewards(output.hidden_states[-1], places)
        if self.config.separator is None:
            return [*scores.tolist()]
        each = scores.double().sigmoid().split([len(side.judgement.steps) for side in batch.sides])
        return [float(_OVER[self.config.over](steps)) for steps in each]

"""What kinds of stage share that draw the replies that they learn from."""

import json
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, PositiveInt, field_validator

from modalink import files
from modalink.errors import TrainingError
from modalink.inference.sampling import Sampling
from modalink.model.prepared import Prepared
from modalink.model.sampled import Drawing
from modalink.recipe.evaluation import Evaluation
from modalink.recipe.kind_field import Kinds
from modalink.rewards import RewardConfig
from modalink.rewards._combined import Combined
from modalink.runs.ledger import Ledger
from modalink.runs.metrics import Metrics, read_records
from modalink.training import parallel
from modalink.training.critic import Critic, critic_of, together
from modalink.training.drawn import drawing
from modalink.training.judged import measures
from modalink.training.loop import Run
from modalink.training.opening import begin
from modalink.training.own_run import StagesBefore
from modalink.training.reference import Start
from modalink.training.rollout_watch import Limits, RolloutWatch
from modalink.training.rollouts import Group, Reply, Rollouts
from modalink.training.stages import StageConfig
from modalink.training.stages._opened import opened
from modalink.training.step import Learner
from modalink.yaml_files import Loc

REWARDS = Kinds("modalink.rewards")
Reward = Annotated[Any, REWARDS]


def judging_stages(rewards: Sequence[RewardConfig]) -> Iterator[tuple[Loc, str]]:
    """The earlier stages that judge for rewards, each by the key that names it."""
    for number, reward in enumerate(rewards):
        if reward.by_stage is not None:
            yield ("rewards", number, "stage"), reward.by_stage


class RolloutStageConfig(StageConfig):
    """A stage that asks the prompts of its data, judges the replies, and learns from them. Its `batch` counts
    prompts."""

    dropout: ClassVar[bool] = False
    makes_samples: ClassVar[bool] = True
    keeps_start: ClassVar[bool] = True

    rewards: Annotated[list[Reward], Field(min_length=1)]
    """What judges replies: the weighted sum; those of weight 0 are only measured."""
    replies: Annotated[int, Field(ge=1, le=1024)] = 8
    """Replies that are drawn for each prompt."""
    max_new_tokens: PositiveInt = 128
    """Longest reply, in tokens."""
    temperature: Annotated[float, Field(gt=1e-2, le=100)] = 1.0
    """How freely they are drawn; training sees the same."""
    media: bool = False
    """Whether the media are made that replies ask for, for rewards that look at them."""
    beside: PositiveInt = 64
    """Replies that are drawn side by side."""
    limits: Limits = Limits()
    """What ends the stage early."""
    kept: Annotated[int, Field(ge=0)] = 2
    """Prompts of each step whose replies are kept for people, in `replies.jsonl`."""

    @field_validator("evaluate")
    @classmethod
    def _by_benchmarks(cls, evaluate: Evaluation | None) -> Evaluation | None:
        if evaluate is not None and evaluate.data:
            raise ValueError("found data to take a loss of, which drawn replies have not; evaluate by benchmarks")
        return evaluate

    def small(self) -> dict[str, Any]:
        """Fewer and shorter replies, by rewards in their tiny forms."""
        rewards = [REWARDS.dump(reward.tiny()) for reward in self.rewards]
        shorter = {"replies": min(self.replies, 4), "max_new_tokens": min(self.max_new_tokens, 16)}
        return {"rewards": rewards, **shorter}

    def run(self, run: Run) -> None:
        if (begun := begin(run, self)) is None:
            return
        with opened(run, self, begun) as stage:
            assert begun.start is not None
            ledger = stage.loader.ledger
            policy = Policy(stage.learner, begun.start, drawing(run.system, self._sampling()), stage.critic)
            teacher = self._teacher(run, policy, begun.folder, stage.metrics, ledger, stage.first)
            stage.train(teacher)
            teacher.rollouts.forget(stage.learner.steps)

    def _teacher(
        self,
        run: Run,
        policy: "Policy",
        folder: Path,
        metrics: Metrics | None,
        ledger: Ledger,
        first: int,
    ) -> "Teacher":
        shown = Shown(folder / "replies.jsonl", self.kept, first)
        past = parallel.gathered(read_records(metrics.path) if metrics is not None else [])
        watch = RolloutWatch(self.name, self.limits, past)
        return Teacher(self, policy, self._rollouts(run, policy.learner, folder), shown, watch, ledger)

    def _sampling(self) -> Sampling:
        return Sampling(max_new_tokens=self.max_new_tokens, temperature=self.temperature)

    def names_stages(self) -> Iterator[tuple[Loc, str]]:
        yield from super().names_stages()
        yield from judging_stages(self.rewards)

    def _rollouts(self, run: Run, learner: Learner, folder: Path) -> Rollouts:
        back = [name for name, made in learner.system.spec.outputs.items() if made.read_back]
        if self.media and back:
            raise TrainingError(
                f"stage {self.name}: found media: true and {back[0]} that is read in the reply that made it, which "
                "training does not see; needed one of the two without: media: false, or read_back: false"
            )
        rewards = Combined(self.rewards, str(learner.device), StagesBefore(run, self, learner))
        return Rollouts(learner, rewards, folder, self.replies, self._sampling(), self.beside, media=self.media)

    def rehearsed(self, learner: Learner, samples: Sequence[Prepared], run: Run) -> list[Prepared]:
        """Replies to the first prompt, which are judged, and taken for good and bad in turn."""
        groups = self._rollouts(run, learner, run.folder).draw(0, samples[:1])
        told = [
            replace(group, replies=tuple(replace(r, reward=1.0 - i % 2) for i, r in enumerate(group.replies)))
            for group in groups
        ]
        how, critic = drawing(learner.system, self._sampling()), critic_of(learner, self)
        return self.taught(Policy(learner, Start(learner.trained), how, critic), told)

    def enough(self, prompts: int) -> int | None:
        """How many prompts with replies of different worth this process needs, of so many; None draws all."""
        return None

    @abstractmethod
    def taught(self, policy: "Policy", groups: Sequence[Group]) -> list[Prepared]:
        """What is learned of replies; all processes ask this together.

        Args:
            policy: What drew them.
            groups: This process's prompts with their replies.
        """

    @abstractmethod
    def learn(self, teacher: "Teacher", step: int, groups: Sequence[Group]) -> dict[str, Any]:
        """Learn from the replies to a step's prompts; all processes do so together.

        Args:
            teacher: What the stage has to learn with.
            step: The step, from 0.
            groups: This process's prompts with their replies.

        Returns:
            The step's record, as `Learner.learn` gives it, and what else the kind measures.
        """


@dataclass(frozen=True)
class Policy:
    """What draws replies and learns from them.

    Args:
        learner: The stage's learner.
        start: The state in which the stage began.
        how: How replies are drawn.
        critic: What expects something of them, where that is a model of its own.
    """

    learner: Learner
    start: Start
    how: Drawing
    critic: Critic | None = None

    def learn(self, step: int, samples: Sequence[Prepared]) -> dict[str, Any]:
        """Update it once, and a critic of its own; the record as `Learner.learn` gives it."""
        record = self.learner.learn(step, samples)
        return record if self.critic is None else together(record, self.critic.learn(step, samples))


@dataclass(frozen=True)
class Teacher:
    """Draws a step's replies, has the stage learn from them, and writes down what came of it."""

    stage: RolloutStageConfig
    policy: Policy
    rollouts: Rollouts
    shown: "Shown"
    watch: RolloutWatch
    ledger: Ledger

    def __call__(self, step: int, prompts: list[Prepared]) -> dict[str, Any]:
        """A step: its record."""
        if step % self.stage.checkpoint_every == 0:
            self.rollouts.forget(step)
        groups = self.rollouts.draw(step, prompts, self.stage.enough(len(prompts)))
        self._note_unjudged(step, groups)
        measured = self._measured(groups)
        record = self.stage.learn(self, step, groups)
        record |= {name: value for name, value in measured.items() if name not in record}
        record.setdefault("kl", 0.0)
        self.shown.write(step, groups)
        self.watch.note(record)
        return record

    def nothing(self, step: int, groups: Sequence[Group]) -> dict[str, Any]:
        """The record of a step that teaches nothing."""
        sizes = self.policy.learner.sizes([group.prompt for group in groups])
        done = {"stage": self.stage.name, "step": step + 1, "loss": 0.0, "losses": {}, "lr": {}, "grad_norm": 0.0}
        return done | {"grad_norms": {}, "units": {}} | sizes

    def _note_unjudged(self, step: int, groups: Sequence[Group]) -> None:
        for group in groups:
            unknown = [reply.why for reply in group.replies if reply.reward is None]
            if unknown:
                detail = f"{len(unknown)} of {len(group.replies)} replies have no reward: {unknown[0]}"
                self.ledger.add(step, group.prompt.id, "unjudged", detail[:500])

    def _measured(self, groups: Sequence[Group]) -> dict[str, Any]:
        """What the replies of all processes were like."""
        replies = [reply for group in groups for reply in group.replies]
        own = [
            *(float(len(replies)), float(sum(len(reply.ids) for reply in replies))),
            *(float(sum(not reply.complete for reply in replies)), float(sum(_is_empty(reply) for reply in replies))),
        ]
        count, tokens, cut, empty = parallel.summed(own)
        return measures([group.replies for group in groups], [*self.rollouts.rewards.weights]) | {
            "reply_tokens": tokens / max(1.0, count),
            "cut": cut / max(1.0, count),
            "empty": empty / max(1.0, count),
            "replies": int(count),
        }


def _is_empty(reply: Reply) -> bool:
    return not reply.text.strip() and len(reply.ids) <= 1


class Shown:
    """Some replies of each step for people: `replies.jsonl`, written by the first process.

    Args:
        path: The file.
        count: Prompts of each step.
        first: The step, from 0, from which the run goes on: lines of later ones are dropped.
    """

    def __init__(self, path: Path, count: int, first: int) -> None:
        self.path, self.count = path, count
        if parallel.rank() == 0 and path.exists():
            kept = [line for line in files.whole_lines(path) if _step(line) <= first]
            files.write(path, b"".join(kept))

    def write(self, step: int, groups: Sequence[Group]) -> None:
        """Add some replies of a step."""
        if parallel.rank() == 0 and self.count:
            files.append_json_lines(self.path, [_row(step, group) for group in groups[: self.count]])


def _row(step: int, group: Group) -> dict[str, Any]:
    assert group.prompt.asked is not None
    facts = {name: value for name, value in group.prompt.asked.facts.items() if isinstance(value, str | int | float)}
    replies = [
        {"text": reply.text, "reward": reply.reward, "parts": reply.parts, "why": reply.why, "complete": reply.complete}
        for reply in group.replies
    ]
    question = group.prompt.asked.conversation.turns[-1].text
    return {"step": step + 1, "prompt": group.prompt.id, "question": question, "facts": facts, "replies": replies}


def _step(line: bytes) -> int:
    return int(json.loads(line)["step"])

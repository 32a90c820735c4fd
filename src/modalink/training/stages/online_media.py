"""Learning online from media: several are made for each request and judged, and the better ones become likelier.

How they are made and what they cost is the objective's: `denoising_policy`, `diffusion_nft`, `condition_policy`. Others
may stand beside it, as `align`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field, PositiveInt, field_validator, model_validator
from torch import Tensor

from modalink.conversation import Conversation
from modalink.model.precision import autocast
from modalink.model.prepared import Prepared
from modalink.model.sampled import SampledMedium
from modalink.recipe import SystemSpec
from modalink.recipe.evaluation import Evaluation
from modalink.recipe.kind_field import Kinds
from modalink.rewards._combined import Combined
from modalink.runs.ledger import Ledger
from modalink.runs.metrics import read_records
from modalink.training import parallel
from modalink.training.judged import is_mixed, measures, rewards_of
from modalink.training.loop import Run
from modalink.training.media_rollouts import Group, MediaRollouts
from modalink.training.objectives._sampled import SampledMediaConfig
from modalink.training.opening import begin
from modalink.training.own_run import StagesBefore
from modalink.training.policy_gradient import Comparison, outcome_advantages
from modalink.training.randomness import ItemRngs
from modalink.training.requesting import Requesting
from modalink.training.rollout_watch import Limits, RolloutWatch
from modalink.training.stages import StageConfig
from modalink.training.stages._opened import opened
from modalink.training.stages._rollouts import REWARDS, Reward, judging_stages
from modalink.training.step import Learner
from modalink.yaml_files import Loc

OBJECTIVES = Kinds("modalink.training.objectives")
_TINY_STEPS = 4
Place = tuple[int, str, int]
"""A sample's place in the whole step, a modality, and which of the sample's media of it."""


class OnlineMediaConfig(StageConfig):
    """Has media made for the requests of its data, and learns from how rewards judge them. Media of replies that stand
    in the data are not looked at; where prompts stand alone, the signal tokens of the system are the reply. Its `batch`
    counts conversations."""

    dropout: ClassVar[bool] = False
    samples_media: ClassVar[bool] = True
    keeps_start: ClassVar[bool] = True

    kind: Literal["online_media"] = "online_media"
    rewards: Annotated[list[Reward], Field(min_length=1)]
    """What judges media: the weighted sum; those of weight 0 are only measured."""
    media: Annotated[int, Field(ge=2, le=1024)] = 8
    """Media that are made for each request."""
    advantage: Comparison = "grpo"
    """What a medium is compared with: `grpo`, the request's others, by their mean and standard deviation (DDPO's
    statistics of each prompt); `batch`, by the standard deviation of all (Flow-GRPO); `dr_grpo`, by their mean alone;
    `rloo`, by the mean of the others alone; `reinforce`, by the mean of all of the step."""
    updates: PositiveInt = 1
    """Updates from the media of a step: `batch` is divided into so many parts."""
    inner_epochs: PositiveInt = 1
    """How often the media of a step are learned from."""
    words: str = ""
    """What the assistant says before the medium in reply to prompts that stand alone; nothing if not set."""
    beside: PositiveInt = 32
    """Media that are drawn side by side."""
    limits: Limits = Limits()
    """What ends the stage early."""

    @field_validator("evaluate")
    @classmethod
    def _by_benchmarks(cls, evaluate: Evaluation | None) -> Evaluation | None:
        if evaluate is not None and evaluate.data:
            raise ValueError("found data to take a loss of, which media that are made have not; evaluate by benchmarks")
        return evaluate

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.batch % self.updates:
            raise ValueError(f"found batch {self.batch} and {self.updates} updates, needed a batch that they divide")
        drawing = [objective.kind for objective in self.objectives if isinstance(objective, SampledMediaConfig)]
        if len(drawing) != 1:
            raise ValueError(
                f"found {', '.join(drawing) or 'no objective'} to draw media, needed exactly one: denoising_policy, "
                "diffusion_nft or condition_policy"
            )
        return self

    def shown(self, conversation: Conversation, spec: SystemSpec) -> Conversation:
        """The conversation, if it has a reply; a prompt alone with the reply that asks for a medium."""
        return Requesting.of(spec, self.objectives, self.words)(conversation)

    @property
    def drawing(self) -> SampledMediaConfig:
        """The objective that says how media are made."""
        return next(one for one in self.objectives if isinstance(one, SampledMediaConfig))

    def with_batch(self, size: int) -> Self:
        return self.replace(batch=size, micro_batch=None, updates=1)

    def small(self) -> dict[str, Any]:
        """Fewer media of fewer steps, by rewards in their tiny forms, in one update a step."""
        rewards = [REWARDS.dump(reward.tiny()) for reward in self.rewards]
        drawing = self.drawing.at_most(steps=_TINY_STEPS)
        objectives = [OBJECTIVES.dump(drawing if one is self.drawing else one) for one in self.objectives]
        return {"rewards": rewards, "objectives": objectives, "media": min(self.media, 4), "updates": 1}

    def run(self, run: Run) -> None:
        if (begun := begin(run, self)) is None:
            return
        with opened(run, self, begun) as stage:
            past = parallel.gathered(read_records(stage.metrics.path) if stage.metrics is not None else [])
            watch = RolloutWatch(self.name, self.limits, past)
            rollouts = self._rollouts(run, stage.learner, begun.folder)
            stage.train(MediaTeacher(self, stage.learner, rollouts, watch, stage.loader.ledger))
            rollouts.forget(stage.learner.steps)

    def names_stages(self) -> Iterator[tuple[Loc, str]]:
        yield from super().names_stages()
        yield from judging_stages(self.rewards)

    def rehearsed(self, learner: Learner, samples: Sequence[Prepared], run: Run) -> list[Prepared]:
        """The first sample with its media, which are judged, and taken for good and bad in turn."""
        rollouts = self._rollouts(run, learner, run.folder)
        groups = [
            replace(group, media=tuple(replace(one, reward=1.0 - i % 2) for i, one in enumerate(group.media)))
            for group in rollouts.draw(0, learner.micro_batches(samples[:1]))
        ]
        return taught(samples[:1], [*parallel.positions(1)], sampled(groups, self.advantage))

    def _rollouts(self, run: Run, learner: Learner, folder: Path) -> MediaRollouts:
        rewards = Combined(self.rewards, str(learner.device), StagesBefore(run, self, learner))
        return MediaRollouts(learner, self.drawing, rewards, folder, self.media, self.beside)


@dataclass(frozen=True)
class MediaTeacher:
    """Has a step's media drawn, learns from them, and says what came of it."""

    stage: OnlineMediaConfig
    learner: Learner
    rollouts: MediaRollouts
    watch: RolloutWatch
    ledger: Ledger

    def __call__(self, step: int, samples: list[Prepared]) -> dict[str, Any]:
        """A step: its record."""
        if step % self.stage.checkpoint_every == 0:
            self.rollouts.forget(step)
        groups = self.rollouts.draw(step, self.learner.micro_batches(samples))
        self._note_unjudged(step, groups)
        record = self._learned(step, samples, groups) | self._measured(groups)
        self.watch.note(record)
        return record

    def _learned(self, step: int, samples: Sequence[Prepared], groups: Sequence[Group]) -> dict[str, Any]:
        places = [*parallel.positions(len(samples))]
        media = sampled(groups, self.stage.advantage)
        if not parallel.summed([float(sum(one.counts for own in media.values() for one in own))])[0]:
            sizes = self.learner.sizes(samples)
            done = {"stage": self.stage.name, "step": step + 1, "loss": 0.0, "losses": {}, "lr": {}, "grad_norm": 0.0}
            return done | {"grad_norms": {}, "units": {}} | sizes
        ready = taught(samples, places, media)
        updates = self.stage.updates
        if updates * self.stage.inner_epochs > 1:
            ready = self._remembered(step, ready)
        records = [
            self.learner.learn(step, ready[number::updates])
            for _ in range(self.stage.inner_epochs)
            for number in range(updates)
        ]
        return records[-1] | {"loss": sum(record["loss"] for record in records) / len(records)}

    @torch.no_grad()
    def _remembered(self, step: int, samples: Sequence[Prepared]) -> list[Prepared]:
        """The samples, whose media know how likely they were when they were drawn, by the passes that learn of them."""
        objective, learner = self.stage.drawing, self.learner
        known: dict[int, dict[str, Tensor]] = {}
        for part in learner.micro_batches(samples):
            with autocast(learner.dtype, learner.device):
                batch, output = learner.output(part)
                for modality, targets in objective.targets(batch).items():
                    view, rngs = learner.generators[modality], ItemRngs(learner.seed, step, part.positions)
                    judged = objective.judged(output, batch, modality, view, rngs)
                    if judged is None:
                        continue
                    found = objective.remembered(view.generator, judged)
                    for n, (_, medium) in enumerate(objective.teaching(targets)):
                        known[id(medium)] = {name: values[n].cpu() for name, values in found.items()}

        def one(medium: SampledMedium) -> SampledMedium:
            return replace(medium, tensors={**medium.tensors, **known.get(id(medium), {})})

        return [_changed(sample, lambda item, *_: map(one, item.sampled)) for sample in samples]

    def _note_unjudged(self, step: int, groups: Sequence[Group]) -> None:
        for group in groups:
            unknown = [medium.why for medium in group.media if medium.reward is None]
            if unknown:
                detail = f"{len(unknown)} of {len(group.media)} media have no reward: {unknown[0]}"
                self.ledger.add(step, group.request.sample.id, "unjudged", detail[:500])

    def _measured(self, groups: Sequence[Group]) -> dict[str, Any]:
        made = parallel.summed([float(sum(len(group.media) for group in groups))])
        names = [*self.rollouts.rewards.weights]
        return measures([group.media for group in groups], names) | {"media": int(made[0])}


def sampled(groups: Sequence[Group], kind: Comparison) -> dict[Place, tuple[SampledMedium, ...]]:
    """The media of a step with their advantages, by the places of what they were made for; all processes ask together.

    Args:
        groups: This process's requests with their media.
        kind: What a medium is compared with.
    """
    rewards = [rewards_of(group.media) for group in groups]
    everything = parallel.gathered([reward for own in rewards for reward in own])
    found = {}
    for group, advantages in zip(groups, outcome_advantages(rewards, kind, everything), strict=True):
        teaches = kind == "reinforce" or is_mixed(group.media)
        rest = iter(advantages)
        found[group.request.place, group.request.modality, group.request.number] = tuple(
            SampledMedium(medium.tensors, 0.0, counts=False)
            if medium.reward is None
            else SampledMedium(medium.tensors, next(rest), counts=teaches)
            for medium in group.media
        )
    return found


def taught(
    samples: Sequence[Prepared], places: Sequence[int], media: Mapping[Place, tuple[SampledMedium, ...]]
) -> list[Prepared]:
    """Samples with the media that were made for them.

    Args:
        samples: The samples.
        places: Their places in the whole step.
        media: The media by place.
    """
    return [
        _changed(sample, lambda item, modality, number, place=place: media.get((place, modality, number), ()))
        for sample, place in zip(samples, places, strict=True)
    ]


def _changed(sample: Prepared, made: Callable[..., Iterable[SampledMedium]]) -> Prepared:
    """A sample with other media in its targets' places.

    Args:
        sample: The sample.
        made: A target, its modality and its number to its media.
    """
    targets = {
        modality: [replace(item, sampled=tuple(made(item, modality, number))) for number, item in enumerate(items)]
        for modality, items in sample.targets.items()
    }
    return replace(sample, targets=targets)

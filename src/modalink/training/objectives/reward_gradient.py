"""Reward through the sampler: a differentiable reward of what was made is followed back through the last steps.

Gradients go through the decoder and the denoiser to the conditions, and from there to the output projector and what of
the LLM learns; and to the denoiser, where the stage trains it. Sources, as settings: DRaFT-K and DRaFT-LV (arXiv
2309.17400, sections 4.1 and 4.2; `last`, `noises`), AlignProp (arXiv 2310.03739, section 4; `truncation: random`), ReFL
(ImageReward, arXiv 2304.05977, algorithm 1; `estimate`, `bound`).

A reward that is followed is soon deceived: colours saturate, textures repeat. Weigh it against the ordinary objectives,
and let the stage's `evaluate` measure by a judge that the reward never saw.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from modalink.errors import TrainingError
from modalink.kinds import Count
from modalink.model.batch import Batch, Targets
from modalink.recipe.kind_field import Kinds
from modalink.rewards import Differentiable
from modalink.roles import Conditions, Guidance, Walk, Walks
from modalink.training.objectives import GeneratorView, ItemObjectiveConfig, Need, Output, conditions_of
from modalink.training.objectives.align import captioned
from modalink.training.randomness import ItemRngs

Reward = Annotated[Any, Kinds("modalink.rewards")]


class RewardGradientConfig(ItemObjectiveConfig):
    """Minus the reward of what is made for each captioned target, whose own medium is not looked at; its unit is one
    such item. The reward is differentiable: `clip`, or by default the system's own reading, which is how likely the
    state in which the stage began finds the caption when it is shown what was made."""

    needs: ClassVar[frozenset[Need]] = frozenset({"conditions", "own_reading"})
    reads_media: ClassVar[bool] = False
    otherwise: ClassVar[str] = (
        "choose a generator that restores latents by steps, or learn from judged media (diffusion_dpo, diffusion_kto)"
    )

    denoises: ClassVar[bool] = True
    kind: Literal["reward_gradient"] = "reward_gradient"
    rewards: list[Reward] = Field(default_factory=list)
    """Differentiable rewards, weighted (`clip`, `reading`); none: the system's own reading."""
    question: str | None = None
    """What the system is asked about its own picture; "What does the image show?" if not set."""
    steps: Count | None = None
    """Steps of the walk; the generator's own if not set."""
    guidance: Guidance | None = None
    """Classifier-free guidance of the walk; the generator's own if not set."""
    noise: Annotated[float, Field(ge=0, le=10)] = 0.0
    """How much noise steps draw: eta of DDIM (AlignProp has 1), or the factor of flows; 0 is what users are given."""
    last: Count = 1
    """Through how many last steps the reward is followed, or at most how many."""
    truncation: Literal["fixed", "random"] = "fixed"
    """`random`: for each item through as many of the last steps as is drawn, from one to `last`."""
    estimate: bool = False
    """ReFL: an item's walk ends at a step that is drawn among the last, and what is judged is what that step makes out
    behind the noise."""
    noises: Count = 1
    """DRaFT-LV: the last step is taken from so many new noises, and the reward is their mean."""
    bound: float | None = None
    """ReFL: from this reward on nothing more is gained."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.noises > 1 and (self.last > 1 or self.estimate):
            raise ValueError(
                f"found noises: {self.noises} with last: {self.last} and estimate: {self.estimate}; "
                "several noises are of one last step, without an estimate"
            )
        return self

    def abilities(self) -> tuple[type, ...]:
        return (Walks,)

    def count(self, batch: Batch) -> int:
        return sum(len(captioned(targets)) for targets in self.targets(batch).values())

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        sums = []
        judges = self._judges(output)
        for modality, targets in self.targets(batch).items():
            if chosen := captioned(targets):
                made = conditions_of(output, batch, modality).take(chosen)
                drawn, cuts = (_chosen(rngs, f"{purpose} {modality}", targets, chosen) for purpose in ("walk", "cut"))
                media = self._media(generators[modality].generator, made, drawn, cuts)
                captions = [targets.captions[i] or "" for i in chosen]
                losses = [self._loss(judges, modality, seen, captions) for seen in media]
                sums.append(torch.stack(losses).mean(0).sum())
        return torch.stack(sums).sum()

    def _judges(self, output: Output) -> list[tuple[float, Differentiable]]:
        if not self.rewards:
            assert output.own_reading is not None
            reading: Any = output.own_reading
            return [(1.0, reading.asking(self.question))]
        return self._built

    @cached_property
    def _built(self) -> list[tuple[float, Differentiable]]:
        """The rewards with their weights, loaded once."""
        built = [(config.weight, config.build()) for config in self.rewards]
        for config, (_, reward) in zip(self.rewards, built, strict=True):
            if not isinstance(reward, Differentiable):
                raise TrainingError(
                    f"the objective {self.kind!r}: the reward {config.kind!r} has no gradient; needed one that is "
                    "differentiable, such as clip, or leave rewards out for the system's own reading"
                )
        return built

    def _media(
        self, generator: Any, made: Conditions, rng: list[torch.Generator], cuts: list[torch.Generator]
    ) -> list[Tensor]:
        """What is seen of what is made, `[i ...]` with gradients; several times where there are several noises."""
        options = {"steps": self.steps, "guidance": self.guidance}
        start = partial(generator.walk, noise=self.noise, **{k: v for k, v in options.items() if v is not None})
        walk: Walk = start(made)
        if self.last > walk.steps:
            raise TrainingError(f"the objective {self.kind!r}: found last: {self.last} of a walk of {walk.steps} steps")
        if self.noises > 1:
            return [walk.visible(latents) for latents in renoised(walk, rng, self.noises)]
        drawn = self.estimate or self.truncation == "random"
        ends = [int(torch.randint(self.last, (), generator=cut)) if drawn else self.last - 1 for cut in cuts]
        firsts = [walk.steps - 1 - end for end in ends]
        return [walk.visible(estimated(start, made, rng, firsts) if self.estimate else followed(walk, rng, firsts))]

    def _loss(
        self, judges: list[tuple[float, Differentiable]], modality: str, seen: Tensor, captions: Sequence[str]
    ) -> Float[Tensor, " i"]:
        """Minus the reward of each item, with the gradients that the rewards give; no more than the bound."""
        values, gradient = seen.new_zeros(len(seen)), torch.zeros_like(seen)
        for weight, judge in judges:
            own, its = judge.gradient(modality, seen, captions)
            values, gradient = values + weight * own, gradient + weight * its
        through = (seen * gradient.detach()).flatten(1).sum(1)
        reward = values.detach() + through - through.detach()
        return -reward if self.bound is None else (self.bound - reward).relu()


def _chosen(rngs: ItemRngs, purpose: str, targets: Targets, chosen: Sequence[int]) -> list[torch.Generator]:
    drawn = rngs.of(purpose, targets.samples)
    return [drawn[i] for i in chosen]


def followed(walk: Walk, rng: Sequence[torch.Generator], firsts: Sequence[int]) -> Float[Tensor, "i ..."]:
    """Clean latents, each item's with gradients through its steps from one on; activations are computed again.

    Args:
        walk: The walk.
        rng: A source for each item.
        firsts: The first step of each item through which gradients go.
    """
    latents = walk.go(rng, last=min(firsts)).latents[-1]
    for number in range(min(firsts), walk.steps):
        after = checkpoint(walk.step, latents, number, use_reentrant=False).draw(rng)
        held = torch.tensor([first > number for first in firsts]).view(-1, *[1] * (after.ndim - 1))
        latents = torch.where(held.to(after.device), after.detach(), after)
    return latents


def estimated(
    start: Any, made: Conditions, rng: Sequence[torch.Generator], stops: Sequence[int]
) -> Float[Tensor, "i ..."]:
    """Clean latents as a step makes them out, each item's at a step of its own; gradients go through that step alone.

    Args:
        start: Conditions to a walk.
        made: The conditions.
        rng: A source for each item.
        stops: The step of each item.
    """
    found: dict[int, Tensor] = {}
    for stop in sorted({*stops}):
        items = [i for i, other in enumerate(stops) if other == stop]
        walk: Walk = start(made.take(items))
        latents = walk.go([rng[i] for i in items], last=stop).latents[-1]
        step = checkpoint(walk.step, latents, stop, use_reentrant=False)
        found |= dict(zip(items, step.media, strict=True))
    return torch.stack([found[i] for i in range(len(stops))])


def renoised(walk: Walk, rng: Sequence[torch.Generator], noises: int) -> list[Float[Tensor, "i ..."]]:
    """Clean latents that the last step makes out behind so many new noises; gradients go through that step alone.

    Args:
        walk: The walk.
        rng: A source for each item.
        noises: How many.
    """
    clean, last, found = walk.go(rng).latents[-1], walk.steps - 1, []
    for _ in range(noises):
        step = checkpoint(walk.step, walk.noised(clean, last, rng), last, use_reentrant=False)
        found.append(step.media)
    return found

"""What objectives share that learn from media that the system made itself and a stage has had judged.

Such an objective says both how media are drawn, with what it needs to know of that later, and what they cost.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat
from torch import Tensor

from modalink.devices import to_device
from modalink.kinds import Count
from modalink.model.batch import Batch, Targets
from modalink.model.sampled import SampledMedium
from modalink.roles import Conditions, Guidance
from modalink.training.objectives import (
    EarlierStates,
    GeneratorView,
    ItemObjectiveConfig,
    Need,
    Output,
    conditions_of,
)
from modalink.training.policy_gradient import policy_losses
from modalink.training.randomness import ItemRngs, seed_of


@dataclass(frozen=True)
class Requests:
    """What media are drawn for: several for each of some conditions.

    Args:
        conditions: Of as many items as there are requests.
        seeds: What the draws of each request depend on.
        count: How many media each request has made.
        shared: A seed of what all requests of a step have in common.
    """

    conditions: Conditions
    seeds: Sequence[int]
    count: int
    shared: int

    @property
    def repeated(self) -> Conditions:
        """The conditions of each medium; those of a request stand side by side."""
        return self.conditions.take([i for i in range(len(self.seeds)) for _ in range(self.count)])

    def sources(self, purpose: str, *, same: bool = False) -> list[torch.Generator]:
        """A source of randomness for each medium.

        Args:
            purpose: What is drawn.
            same: Whether the media of a request draw the same.
        """
        places = [(seed, 0 if same else number) for seed in self.seeds for number in range(self.count)]
        return [torch.Generator().manual_seed(seed_of(seed, purpose, number)) for seed, number in places]


@dataclass(frozen=True)
class Made:
    """A medium, and what its objective needs to know of how it came about.

    Args:
        medium: As `Generator.sample` gives it.
        tensors: By names of the objective, of the same shapes for all media of a generator.
    """

    medium: Any
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True)
class Judged:
    """Media that were judged, as their losses read them.

    Args:
        conditions: What the system that learns makes for each of them.
        reference: What the state in which the stage began makes; no gradient goes there.
        tensors: What was kept of each, see `Made`.
        advantages: How much better than expected each was.
        rng: A source for each.
        denoiser: How the generator's denoiser was earlier.
    """

    conditions: Conditions
    reference: Conditions
    tensors: Mapping[str, Tensor]
    advantages: Float[Tensor, " n"]
    rng: list[torch.Generator]
    denoiser: EarlierStates


class SampledMediaConfig(ItemObjectiveConfig):
    """Base of objectives about media that a stage of kind `online_media` draws and has judged; their unit is one
    medium that teaches something."""

    needs: ClassVar[frozenset[Need]] = frozenset({"conditions", "reference_conditions", "sampled_media"})
    reads_media: ClassVar[bool] = False
    by_average: ClassVar[bool] = False
    """Whether the moving average of what learns draws, where the stage keeps one."""

    steps: Count | None = None
    """Steps by which media are drawn, where the generator has some; its own if not set."""
    guidance: Guidance | None = None
    """Classifier-free guidance of what is drawn and learned; the generator's own if not set."""
    advantage_clip: PositiveFloat = 5.0
    """Largest advantage that counts, either way (Flow-GRPO and DiffusionNFT 5, DDPO 10)."""
    kl: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the divergence from the state in which the stage began."""

    def count(self, batch: Batch) -> int:
        return sum(len(self.teaching(targets)) for targets in self.targets(batch).values())

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        losses = []
        for modality in self.targets(batch):
            view = generators[modality]
            if judged := self.judged(output, batch, modality, view, rngs):
                losses.append(self.losses(view.generator, judged).float().sum())
        return torch.stack(losses).sum()

    def judged(self, output: Output, batch: Batch, modality: str, view: GeneratorView, rngs: ItemRngs) -> Judged | None:
        """The media of a modality that teach something; None where there are none."""
        targets = batch.targets[modality]
        if not (found := self.teaching(targets)):
            return None
        places = [place for place, _ in found]
        made = conditions_of(output, batch, modality).take(places)
        reference = conditions_of(Output(conditions=output.reference_conditions), batch, modality).take(places)
        tensors = {
            name: to_device(torch.stack([medium.tensors[name] for _, medium in found]), made.device)
            for name in found[0][1].tensors
        }
        worth = torch.tensor([medium.advantage for _, medium in found], device=made.device)
        rng = rngs.of(f"{self.kind} {modality}", [targets.samples[i] for i in places])
        worth = worth.clamp(-self.advantage_clip, self.advantage_clip)
        return Judged(made, reference, tensors, worth, rng, view.denoiser)

    @abstractmethod
    def draw(self, generator: Any, requests: Requests) -> list[Made]:
        """Media for some requests, those of a request side by side; each depends on its own seed alone.

        Args:
            generator: A generator with the `abilities`.
            requests: What is wanted.

        Raises:
            TrainingError: The settings do not fit the generator.
        """

    @abstractmethod
    def losses(self, generator: Any, judged: Judged) -> Float[Tensor, " n"]:
        """What each medium costs, float32."""

    def remembered(self, generator: Any, judged: Judged) -> dict[str, Tensor]:
        """Tensors `[n ...]` to keep of media beside those of `draw`, where they serve several updates: how likely they
        were when they were drawn, by the same passes that learn from them."""
        return {}

    def teaching(self, targets: Targets) -> list[tuple[int, SampledMedium]]:
        """The media that teach something, each with the place of the target for which it was made."""
        return [(i, medium) for i in targets.learned for medium in targets.items[i].sampled if medium.counts]


class RatioConfig(SampledMediaConfig):
    """Base of those of them that weigh how much likelier a medium has become."""

    clip: Annotated[float, Field(gt=0)] = 1e-4
    """How far a ratio of mean densities may leave 1 and still count."""

    def clipped(
        self, density: Float[Tensor, " n"], old: Float[Tensor, " n"] | None, advantages: Float[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """What each medium costs by the density of one of its draws.

        Args:
            density: Its logarithm, by the system that learns.
            old: The same when it was drawn; None where it serves one update alone, so that the ratio is 1.
            advantages: How much better than expected each medium was.
        """
        ratio = (density - (density.detach() if old is None else old)).exp()[:, None]
        found = policy_losses(
            density[:, None], ratio, advantages[:, None].to(density), clip="ppo", low=self.clip, high=self.clip
        )
        return found[:, 0]


def fine(values: Tensor) -> Tensor:
    """The same in float32, or finer where it is."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def usual(**options: Any) -> dict[str, Any]:
    """The options of a call that are set."""
    return {name: value for name, value in options.items() if value is not None}

"""The ability of a generator that comes from noise to media by steps, each of which is a Gaussian.

Feedback on media that were made needs it: what a reward says goes back through steps (`Walk.step`), or steps that were
drawn become likelier or less likely (`Step.log_density`).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from modalink.devices import to_device
from modalink.errors import GenerationError
from modalink.roles.conditions import Conditions
from modalink.roles.generator import ShouldStop, check_stop


def drawn(rng: Sequence[torch.Generator], like: Float[Tensor, "i ..."]) -> Float[Tensor, "i ..."]:
    """Standard normal noise of a tensor's shape, precision and device; each item from its own source."""
    each = [torch.randn(like.shape[1:], generator=g, device=g.device, dtype=like.dtype) for g in rng]
    return to_device(torch.stack(each), like.device)


@dataclass(frozen=True, eq=False)
class Step:
    """Where one step leads: a Gaussian.

    Args:
        mean: Its mean.
        std: Its standard deviation, the same for all numbers; 0 where the step draws nothing.
        media: The clean latents that the network makes out behind the noise.
    """

    mean: Float[Tensor, "i ..."]
    std: float
    media: Float[Tensor, "i ..."]

    def draw(self, rng: Sequence[torch.Generator]) -> Float[Tensor, "i ..."]:
        """Latents after the step; gradients go to the mean."""
        return self.mean if self.std == 0 else self.mean + self.std * drawn(rng, self.mean)

    def log_density(self, latents: Float[Tensor, "i ..."]) -> Float[Tensor, " i"]:
        """Logarithm of the density of latents that were drawn, the mean over their numbers; gradients go to the mean.

        The mean and not the sum, as DDPO and Flow-GRPO have it: so the clip of a ratio means the same at every size.

        Raises:
            GenerationError: The step draws nothing, so that there is no density.
        """
        if self.std == 0:
            raise GenerationError("found a step without noise, whose latents have no density; needed `Walk.random`")
        away = (latents.detach() - self.mean) / self.std
        return (-away.square() / 2 - math.log(self.std * math.sqrt(2 * math.pi))).flatten(1).mean(1)

    def divergence(self, other: Float[Tensor, "i ..."]) -> Float[Tensor, " i"]:
        """KL divergence from a step with another mean and the same spread, the mean over their numbers; see
        `log_density`.

        Args:
            other: The other mean; gradients go to both.

        Raises:
            GenerationError: The step draws nothing.
        """
        if self.std == 0:
            raise GenerationError("found a step without noise, which diverges without bounds; needed `Walk.random`")
        return ((self.mean - other) / self.std).square().flatten(1).mean(1) / 2


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A walk that was taken.

    Args:
        latents: Those before the first step and after each; the last are clean.
        log_densities: Of what the steps of `Walk.random` drew.
    """

    latents: tuple[Float[Tensor, "i ..."], ...]
    log_densities: Float[Tensor, "i s"]


class Walk(ABC):
    """The steps from noise to media under some conditions; gradients go from what it gives to the conditions."""

    steps: int
    """How many steps it has."""
    random: tuple[int, ...]
    """The numbers of those that draw noise."""

    @abstractmethod
    def start(self, rng: Sequence[torch.Generator]) -> Float[Tensor, "i ..."]:
        """The noise in which it begins, each item's from its own source."""

    @abstractmethod
    def step(self, latents: Float[Tensor, "i ..."], number: int) -> Step:
        """Where a step leads from latents; steps are numbered from 0."""

    @abstractmethod
    def noised(self, media: Float[Tensor, "i ..."], number: int, rng: Sequence[torch.Generator]) -> Tensor:
        """Clean latents under as much new noise as those have that a step begins with."""

    @abstractmethod
    def visible(self, latents: Float[Tensor, "i ..."]) -> Float[Tensor, "i ..."]:
        """Media of clean latents, with gradients and in the range of what users are given.

        Pictures `[i 3 h w]` and frames of clips `[i f 3 h w]` are from 0 to 1, in steps of 1/255 through which
        gradients go straight; sounds `[i n]` are from -1 to 1.
        """

    @abstractmethod
    def media(self, latents: Float[Tensor, "i ..."]) -> list[Any]:
        """Media of clean latents, as `Generator.sample` gives them."""

    @torch.no_grad()
    def go(
        self,
        rng: Sequence[torch.Generator],
        *,
        latents: Tensor | None = None,
        first: int = 0,
        last: int | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Trajectory:
        """Walk without gradients.

        Args:
            rng: For each item its own source of, in this order, the start and what the steps draw.
            latents: Where it begins; drawn if not given.
            first: The first step that is taken.
            last: Up to which step, without that one; to the end if not given.
            should_stop: Asked before each step.

        Raises:
            Stopped: `should_stop` said so.
        """
        found, densities = [self.start(rng) if latents is None else latents], []
        for number in range(first, self.steps if last is None else last):
            check_stop(should_stop, f"after {number} of {self.steps} steps")
            step = self.step(found[-1], number)
            found.append(step.draw(rng))
            if step.std:
                densities.append(step.log_density(found[-1]))
        none = found[0].new_zeros(len(found[0]), 0)
        return Trajectory(tuple(found), torch.stack(densities, 1) if densities else none)


@dataclass(frozen=True, eq=False)
class Noised:
    """Clean latents under noise of a random strength, as the network reads them, and what it shall predict.

    Args:
        values: What the network reads.
        times: How strong the noise is, as the network is told.
        target: What it shall predict.
        weight: Of each item's error; None is 1.
        to_media: How much larger than the prediction's error that of the clean latents is which follow from it.
    """

    values: Float[Tensor, "i ..."]
    times: Tensor
    target: Float[Tensor, "i ..."]
    weight: Float[Tensor, " i"] | None
    to_media: Float[Tensor, " i"]

    def error(self, prediction: Float[Tensor, "i ..."]) -> Float[Tensor, " i"]:
        """Mean squared error of a prediction for each item, weighed."""
        error = (prediction.float() - self.target.float()).square().flatten(1).mean(1)
        return error if self.weight is None else error * self.weight


class Walks(ABC):
    """The ability of a generator that comes from noise to media by steps, each of which is a Gaussian."""

    usual_noise: ClassVar[float] = 1.0
    """How much noise its steps draw where nobody says: eta of DDIM, or the factor of Flow-GRPO."""

    @abstractmethod
    def walk(
        self, conditions: Conditions, *, noise: float | None = None, negative: Conditions | None = None, **options: Any
    ) -> Walk:
        """The walk to media under conditions.

        Args:
            conditions: As many items as media are wanted; gradients go there.
            noise: How much noise steps draw; 0 is none, and `usual_noise` if not given.
            negative: As of `Generator.sample`.
            options: Fields of `MediaOptions`, for this walk alone.

        Raises:
            GenerationError: The request cannot be met.
        """

    @abstractmethod
    def noised(self, latents: Float[Tensor, "i ..."], rng: list[torch.Generator]) -> Noised:
        """Clean latents under noise, with strength and noise, in this order, from each item's rng.

        Sources of the same seed give two items the same strength and noise: so the sides of a pair are compared.
        """

    @abstractmethod
    def predict(self, noisy: Float[Tensor, "i ..."], times: Tensor, conditions: Conditions) -> Float[Tensor, "i ..."]:
        """What the network predicts of noisy latents under conditions, without guidance; see `Noised`."""

"""What generators share that restore latents from noise: learning, the walk under guidance, and checks of a size.

A family gives its networks, how they predict, the shape of its latents and how they become media.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any, TypeVar

import diffusers
import torch
from jaxtyping import Float
from torch import Tensor

from modalink.errors import GenerationError, PartError
from modalink.generators._diffusion import Predict, denoise, under_noise
from modalink.generators._guidance import guided, null_conditions
from modalink.generators._steps import DiffusionPath, Path, SteppedWalk
from modalink.roles import (
    Conditions,
    ConditionShape,
    Denoises,
    Generator,
    MediaOptions,
    Noised,
    ShouldStop,
    Walks,
)

MOST_PIXELS = 2**26
"""Most pixels of one medium, those of all its frames together."""


class LatentWalk(Generator):
    """Base of generators that walk from noise to latents under guidance; the networks are set by the family.

    Args:
        solver: A scheduler of diffusers.
        condition_shapes: The conditions of a medium.
        defaults: What is made where a call does not say: `steps`, `guidance`, and what else the family takes.
        rescale: See `guided`.
    """

    options = frozenset({"steps", "guidance"})
    walks_in: torch.dtype | None = None
    """Precision of the latents on their walk; that of the conditions if None."""

    def __init__(
        self,
        *,
        solver: Any,
        condition_shapes: Mapping[str, ConditionShape],
        defaults: MediaOptions,
        rescale: float = 0.0,
    ) -> None:
        super().__init__()
        self.solver = solver
        self.condition_shapes = condition_shapes
        self.defaults = defaults
        self.rescale = rescale

    @abstractmethod
    def null_conditions(self, items: int) -> Conditions:
        """The conditions of so many items that ask for nothing: what guidance steers away from."""

    @abstractmethod
    def predict(self, noisy: Float[Tensor, "i ..."], times: Tensor, conditions: Conditions) -> Float[Tensor, "i ..."]:
        """What the network predicts of noisy latents at their times (one, or one an item)."""

    def predicting(self, asked: MediaOptions) -> Callable[[Tensor, Tensor, Conditions], Tensor]:
        """`predict` for what is asked: a family whose network reads constants of the request gives them here."""
        return self.predict

    @abstractmethod
    def latent_shape(self, asked: MediaOptions) -> tuple[int, ...]:
        """Shape of one item's latents for what is asked.

        Raises:
            GenerationError: There are no such latents.
        """

    @abstractmethod
    def to_media(
        self, latents: Float[Tensor, "i ..."], asked: MediaOptions, should_stop: ShouldStop | None
    ) -> list[Any]:
        """Media from scaled latents."""

    @torch.no_grad()
    def sample(
        self,
        conditions: Conditions,
        *,
        rng: list[torch.Generator],
        negative: Conditions | None = None,
        should_stop: ShouldStop | None = None,
        **options: Any,
    ) -> list[Any]:
        """Media, one an item; `options` are fields of `MediaOptions`, for this call alone."""
        asked = self.checked(conditions, rng=rng, negative=negative, **options)
        return self.finish(self._walk(conditions, asked, rng, negative, should_stop), asked, should_stop, rng)

    def finish(
        self,
        latents: Float[Tensor, "i ..."],
        asked: MediaOptions,
        should_stop: ShouldStop | None,
        rng: list[torch.Generator],
    ) -> list[Any]:
        """Media from latents to which a walk came; a family whose decoder draws noise, too, takes it from `rng`."""
        return self.to_media(latents, asked, should_stop)

    @torch.no_grad()
    def sample_latents(
        self,
        conditions: Conditions,
        *,
        rng: list[torch.Generator],
        negative: Conditions | None = None,
        should_stop: ShouldStop | None = None,
        **options: Any,
    ) -> Float[Tensor, "i ..."]:
        """Scaled latents drawn for the conditions, pushed away from the negative ones; otherwise as `sample`."""
        asked = self.checked(conditions, rng=rng, negative=negative, **options)
        return self._walk(conditions, asked, rng, negative, should_stop)

    def _walk(
        self,
        conditions: Conditions,
        asked: MediaOptions,
        rng: list[torch.Generator],
        negative: Conditions | None,
        should_stop: ShouldStop | None,
    ) -> Tensor:
        shape, predict, like = self.latent_shape(asked), self.guided(conditions, asked, negative), self.like(conditions)
        return denoise(predict, self.at_start(asked, like.device), shape, rng=rng, like=like, should_stop=should_stop)

    def guided(self, conditions: Conditions, asked: MediaOptions, negative: Conditions | None) -> Predict:
        """What the network predicts for what is asked, guidance included."""
        assert asked.guidance is not None
        away = conditions if asked.guidance <= 1 else null_conditions(self) if negative is None else negative
        return guided(self.predicting(asked), conditions, away, asked.guidance, rescale=self.rescale)

    def own_solver(self) -> Any:
        """A solver for one walk, whose state it holds."""
        return type(self.solver).from_config(self.solver.config)

    def at_start(self, asked: MediaOptions, device: torch.device) -> Any:
        """A solver for one walk, at the beginning of the steps that are asked for."""
        solver = self.own_solver()
        solver.set_timesteps(asked.steps, device=device)
        return solver

    def like(self, conditions: Conditions) -> Tensor:
        """A tensor with the device and precision in which a walk begins."""
        return next(iter(conditions.tensors.values())).detach().to(self.walks_in)


class LatentDiffusion(LatentWalk, Denoises, Walks):
    """Base of those of them that also learn by being denoised, and whose steps can be taken one by one.

    Args:
        min_snr: Min-SNR weighting of the denoising error; none if None.
        settings: See `LatentWalk`.
    """

    def __init__(self, *, min_snr: float | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self.min_snr = min_snr

    @cached_property
    def schedule(self) -> Any:
        """The noise schedule, for learning."""
        with torch.device("cpu"):
            return diffusers.DDPMScheduler.from_config(self.solver.config)

    def denoising_error(
        self, latents: Float[Tensor, "i ..."], conditions: Conditions, rng: list[torch.Generator]
    ) -> Float[Tensor, " i"]:
        """Mean squared error of each item's prediction under noise, with gradients to the conditions only."""
        noised = self.noised(latents, rng)
        return noised.error(self.predict(noised.values, noised.times, conditions))

    def noised(self, latents: Float[Tensor, "i ..."], rng: list[torch.Generator]) -> Noised:
        """Latents under noise of a time that each item's rng draws."""
        return under_noise(latents, self.schedule, rng, min_snr=self.min_snr)

    def path(self, asked: MediaOptions, device: torch.device) -> Path:
        """The steps of a walk, and what they draw: DDIM's over the noise schedule."""
        assert asked.steps is not None
        return DiffusionPath.of(self.solver.config, asked.steps, device)

    @abstractmethod
    def visible(self, latents: Float[Tensor, "i ..."], asked: MediaOptions) -> Float[Tensor, "i ..."]:
        """See `Walk.visible`."""

    def walk(
        self, conditions: Conditions, *, noise: float | None = None, negative: Conditions | None = None, **options: Any
    ) -> SteppedWalk:
        """See `Walks`; latents are float32 at least."""
        asked = self.checked(conditions, rng=None, negative=negative, **options)
        like, shape = self.like(conditions), self.latent_shape(asked)
        return SteppedWalk(
            self.path(asked, like.device),
            self.guided(conditions, asked, negative),
            like.new_empty(len(conditions), *shape),
            self.usual_noise if noise is None else noise,
            visible=partial(self.visible, asked=asked),
            to_media=partial(self.to_media, asked=asked, should_stop=None),
        )


Able = TypeVar("Able", bound=LatentWalk)


def able(generator: Able, reference: str) -> Able:
    """A generator that can make what its own settings ask for.

    Args:
        generator: What was built.
        reference: Its checkpoint, for errors.

    Raises:
        PartError: It cannot, for example because no latents have such a size.
    """
    try:
        generator.latent_shape(generator.defaults)
    except GenerationError as error:
        raise PartError(f"{reference}: its settings ask for what it cannot make: {error}") from None
    return generator


def latent_size(size: tuple[int, int] | None, factor: int, frames: int = 1, most: int = MOST_PIXELS) -> tuple[int, int]:
    """Height and width of the latents of pictures.

    Args:
        size: Height and width in pixels.
        factor: Pixels of a side of one latent.
        frames: Pictures of one medium.
        most: Most pixels of one medium.

    Raises:
        GenerationError: The size is none that can be made.
    """
    assert size is not None
    height, width = size
    if height % factor or width % factor:
        near = tuple(max(factor, round(side / factor) * factor) for side in size)
        raise GenerationError(
            f"size: found {width} x {height} px (width x height), needed sides that are multiples of {factor}, for "
            f"example {near[1]} x {near[0]}"
        )
    if height * width * frames > most:
        raise GenerationError(
            f"size: found {frames} pictures of {width} x {height} px, which are {frames * height * width:,} pixels; at "
            f"most {most:,} are made at once"
        )
    return height // factor, width // factor

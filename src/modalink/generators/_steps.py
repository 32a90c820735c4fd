"""Steps from noise to media as Gaussians: DDIM with noise of its own for diffusion, a stochastic step for flows.

Latents are `signal * media + noise * normal`, and a step goes from one such level to another.
Sources: DDIM, Song et al. (arXiv 2010.02502, eq. 12 and 16); for flows Flow-GRPO, Liu et al. (arXiv 2505.05470, eq. 9).
What is computed here is float32 or finer, whatever the networks compute in.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import diffusers
import torch
from torch import Tensor

from modalink.errors import GenerationError
from modalink.generators._diffusion import Predict
from modalink.roles import Step, Walk, drawn


@dataclass(frozen=True)
class Level:
    """How much of media and of noise latents hold.

    Args:
        signal: Factor of the media.
        noise: Factor of the noise.
    """

    signal: float
    noise: float


@dataclass(frozen=True)
class Stride:
    """One step of a path.

    Args:
        now: The level at which it begins.
        then: The level to which it leads.
        time: What the network is told of its beginning.
    """

    now: Level
    then: Level
    time: Tensor


class Path(ABC):
    """The steps of a walk, and where each leads.

    Args:
        strides: The steps.
        start: Spread of the noise in which it begins.
    """

    def __init__(self, strides: Sequence[Stride], start: float = 1.0) -> None:
        self.strides, self.start = [*strides], start

    def read(self, latents: Tensor, number: int) -> Tensor:
        """Latents as the network reads them at a step."""
        return latents

    @abstractmethod
    def std(self, number: int, noise: float) -> float:
        """How much a step draws, where so much noise is wanted (see `modalink.roles.Walks`)."""

    @abstractmethod
    def step(self, latents: Tensor, prediction: Tensor, number: int, noise: float) -> Step:
        """Where a step leads, given what the network predicts."""

    def noised(self, media: Tensor, normal: Tensor, number: int) -> Tensor:
        """Clean latents under the noise of a step's beginning."""
        now = self.strides[number].now
        return now.signal * media + now.noise * normal


class DiffusionPath(Path):
    """DDIM's steps, with `eta` of 1 those of DDPM.

    Args:
        strides: See `Path`.
        kind: What the network predicts: `epsilon`, `v_prediction` or `sample`.
        start: See `Path`.
    """

    def __init__(self, strides: Sequence[Stride], kind: str, start: float = 1.0) -> None:
        super().__init__(strides, start)
        self.kind = kind

    @classmethod
    def of(cls, config: Any, steps: int, device: torch.device) -> "DiffusionPath":
        """That of a noise schedule.

        Args:
            config: Configuration of a scheduler of diffusers over the schedule.
            steps: How many steps.
            device: Where times are.

        Raises:
            GenerationError: The schedule has fewer times.
        """
        with torch.device("cpu"):
            solver = diffusers.DDIMScheduler.from_config(config)
        count = int(solver.config.num_train_timesteps)
        if steps <= count:
            solver.set_timesteps(steps)
        if steps > count or int(solver.timesteps.max()) >= count:
            raise GenerationError(f"steps: found {steps:,}, needed fewer: its noise schedule has {count:,} times")
        table, final = solver.alphas_cumprod.double().tolist(), float(solver.final_alpha_cumprod)

        def level(time: int) -> Level:
            kept = table[time] if time >= 0 else final
            return Level(math.sqrt(kept), math.sqrt(1 - kept))

        # A step goes down by one distance, also where the spacing puts the next time elsewhere: so does DDIM.
        found = [(level(t), level(t - count // steps)) for t in solver.timesteps.tolist()]
        times = solver.timesteps.to(device)
        return cls([Stride(*two, time) for two, time in zip(found, times, strict=True)], solver.config.prediction_type)

    def std(self, number: int, noise: float) -> float:
        """Eq. 16, written for any scale of signal and noise."""
        now, then = self.strides[number].now, self.strides[number].then
        share = (then.noise * now.signal / (then.signal * now.noise)) ** 2
        return noise * then.noise * math.sqrt(max(0.0, 1 - share))

    def step(self, latents: Tensor, prediction: Tensor, number: int, noise: float) -> Step:
        """Eq. 12: the media that are made out, and of the noise as much as is not drawn anew."""
        media, normal = self.parts(latents, prediction, number)
        then, std = self.strides[number].then, self.std(number, noise)
        mean = then.signal * media + math.sqrt(max(0.0, then.noise**2 - std**2)) * normal
        return Step(mean, std, media)

    def parts(self, latents: Tensor, prediction: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """The media and the noise that latents are made out to hold."""
        signal, noise = self.strides[number].now.signal, self.strides[number].now.noise
        if self.kind == "epsilon":
            return (latents - noise * prediction) / signal, prediction
        if self.kind == "sample":
            return prediction, (latents - signal * prediction) / noise
        return signal * latents - noise * prediction, signal * prediction + noise * latents


class EdmPath(DiffusionPath):
    """The same steps where noise of any strength is added to media (see `_edm.py`).

    Args:
        solver: A scheduler of diffusers in EDM's scale, as this walk's own.
        steps: How many steps.
        device: Where times are.
    """

    def __init__(self, solver: Any, steps: int, device: torch.device) -> None:
        solver.set_timesteps(steps)
        sigmas = solver.sigmas.double().tolist()
        times = [solver.precondition_noise(torch.tensor(sigma)).to(device) for sigma in sigmas[:-1]]
        strides = zip(sigmas, sigmas[1:], times, strict=False)
        found = [Stride(Level(1.0, now), Level(1.0, then), time) for now, then, time in strides]
        super().__init__(found, solver.config.prediction_type, float(solver.init_noise_sigma))
        self.solver = solver

    def read(self, latents: Tensor, number: int) -> Tensor:
        """Latents at unit spread."""
        found: Tensor = self.solver.precondition_inputs(latents, self._sigma(number))
        return found

    def parts(self, latents: Tensor, prediction: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """The media and the noise that latents are made out to hold."""
        sigma = self._sigma(number)
        media = self.solver.precondition_outputs(latents, prediction, sigma)
        return media, (latents - media) / sigma

    def _sigma(self, number: int) -> float:
        return self.strides[number].now.noise


class FlowPath(Path):
    """Euler's steps along a flow; with noise those of a stochastic equation that has the same media at each time.

    Args:
        solver: Euler's of diffusers, at the beginning of its steps.
        device: Where times are.
    """

    def __init__(self, solver: Any, device: torch.device) -> None:
        sigmas, times = solver.sigmas.double().tolist(), solver.timesteps.to(device)
        levels = [Level(1 - sigma, sigma) for sigma in sigmas]
        super().__init__([Stride(*each) for each in zip(levels, levels[1:], times, strict=False)])

    def std(self, number: int, noise: float) -> float:
        """What is drawn over the time of the step."""
        stride = self.strides[number]
        return self._strength(number, noise) * math.sqrt(stride.now.noise - stride.then.noise)

    def step(self, latents: Tensor, prediction: Tensor, number: int, noise: float) -> Step:
        """Eq. 9: Euler's step, its velocity corrected for what is drawn."""
        sigma, then = self.strides[number].now.noise, self.strides[number].then.noise
        drift, time = self._strength(number, noise) ** 2 / (2 * sigma), then - sigma
        mean = latents * (1 + drift * time) + prediction * ((1 + drift * (1 - sigma)) * time)
        return Step(mean, self.std(number, noise), latents - sigma * prediction)

    def _strength(self, number: int, noise: float) -> float:
        sigma = self.strides[number].now.noise
        # Pure noise has no finite strength: there the next level's stands in, as in the released code.
        below = sigma if sigma < 1 else self.strides[number].then.noise
        return noise * math.sqrt(sigma / (1 - below))


class SteppedWalk(Walk):
    """The steps of a generator's walk under some conditions.

    Args:
        path: The steps.
        predict: What the network predicts, guidance included.
        like: A tensor with the shape, precision and device of the noise in which the walk begins.
        noise: How much noise steps draw.
        visible: Media with gradients, of latents.
        to_media: Media as users are given them.

    Raises:
        GenerationError: The noise is no such number.
    """

    def __init__(
        self,
        path: Path,
        predict: Predict,
        like: Tensor,
        noise: float,
        *,
        visible: Callable[[Tensor], Tensor],
        to_media: Callable[[Tensor], list[Any]],
    ) -> None:
        if not 0 <= noise < math.inf:
            raise GenerationError(f"noise: found {noise:g}, needed how much noise a step draws: 0 for none, or more")
        self.path, self.predict, self.like, self.noise = path, predict, like, noise
        self._visible, self._to_media = visible, to_media
        self.steps = len(path.strides)
        self.random = tuple(number for number in range(self.steps) if path.std(number, noise))

    def start(self, rng: Sequence[torch.Generator]) -> Tensor:
        """Noise, drawn in the precision in which the generator samples."""
        return _fine(drawn(rng, self.like)) * self.path.start

    def step(self, latents: Tensor, number: int) -> Step:
        """Where a step leads."""
        prediction = self.predict(self.path.read(latents, number), self.path.strides[number].time)
        return self.path.step(latents, _fine(prediction), number, self.noise)

    def noised(self, media: Tensor, number: int, rng: Sequence[torch.Generator]) -> Tensor:
        """Clean latents under the noise of a step's beginning."""
        return self.path.noised(media, drawn(rng, media), number)

    def visible(self, latents: Tensor) -> Tensor:
        """Media with gradients."""
        return self._visible(latents)

    @torch.no_grad()
    def media(self, latents: Tensor) -> list[Any]:
        """Media."""
        return self._to_media(latents)


def _fine(values: Tensor) -> Tensor:
    """The same in float32, or finer where it is."""
    return values.to(torch.promote_types(values.dtype, torch.float32))

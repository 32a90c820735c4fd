"""DiffusionNFT: media of high reward are restored better and those of low reward worse, without any density.

Source: Zheng et al. (arXiv 2509.16117, theorem 3.2 and section 3.3): the network that learns is read as a mixture with
the one that drew, v+ = (1-b) v_old + b v, which shall restore what is good, and v- = (1+b) v_old - b v, which shall
restore what is bad. What each costs is measured at the clean media and weighed by its own size, as in released code.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from modalink.kinds import Count
from modalink.roles import Conditions, Noised, Walks
from modalink.training.objectives._sampled import Judged, Made, Requests, SampledMediaConfig, fine, usual

_LEAST = 1e-5
"""Smallest size by which an error is weighed."""


class DiffusionNftConfig(SampledMediaConfig):
    """The loss of media under new noise, by how good they are; its unit is one medium. Where the stage keeps a moving
    average (`ema`), that is what draws."""

    by_average: ClassVar[bool] = True
    otherwise: ClassVar[str] = "take condition_policy, which asks nothing of it"

    denoises: ClassVar[bool] = True
    kind: Literal["diffusion_nft"] = "diffusion_nft"
    noise: Annotated[float, Field(ge=0, le=10)] = 0.0
    """How much noise these steps draw: none is needed."""
    beta: PositiveFloat = 1.0
    """How far the network that learns stands from the one that drew in both mixtures (0.1 to 1)."""
    noises: Count = 1
    """Under how many noises each medium is restored in one update."""

    def abilities(self) -> tuple[type, ...]:
        return (Walks,)

    @torch.no_grad()
    def draw(self, generator: Any, requests: Requests) -> list[Made]:
        made = requests.repeated
        walk = generator.walk(made, noise=self.noise, **usual(steps=self.steps, guidance=self.guidance))
        latents = walk.start(requests.sources("start"))
        latents = walk.go(requests.sources("steps"), latents=latents).latents[-1]
        media = walk.media(latents)
        return [Made(medium, {"media": latents[i], **_kept(made.take([i]))}) for i, medium in enumerate(media)]

    def losses(self, generator: Any, judged: Judged) -> Float[Tensor, " n"]:
        old = _given(judged.tensors)
        good = 0.5 + judged.advantages / (2 * self.advantage_clip)
        total = torch.zeros_like(judged.advantages)
        for _ in range(self.noises):
            noised = generator.noised(judged.tensors["media"], judged.rng)
            with torch.no_grad(), judged.denoiser.as_drawn():
                before = fine(generator.predict(noised.values, noised.times, old))
            now = fine(
                checkpoint(generator.predict, noised.values, noised.times, judged.conditions, use_reentrant=False)
            )
            total = total + self.contrast(now, before, noised, good)
            if self.kl:
                with torch.no_grad(), judged.denoiser.at_start():
                    start = fine(generator.predict(noised.values, noised.times, judged.reference))
                total = total + self.kl * (now - start).square().flatten(1).mean(1)
        return total / self.noises

    def contrast(
        self,
        now: Float[Tensor, "n ..."],
        before: Float[Tensor, "n ..."],
        noised: Noised,
        good: Float[Tensor, " n"],
    ) -> Float[Tensor, " n"]:
        """What each medium costs.

        Args:
            now: What the network predicts under the conditions that learn.
            before: The same under those that drew.
            noised: The media under noise.
            good: How good each is, from 0 to 1.
        """
        target, beta = fine(noised.target), self.beta
        positive = _cost((1 - beta) * before + beta * now - target, noised)
        negative = _cost((1 + beta) * before - beta * now - target, noised)
        return (good * positive + (1 - good) * negative) * (self.advantage_clip / beta)


def _cost(error: Float[Tensor, "n ..."], noised: Noised) -> Float[Tensor, " n"]:
    """The mean square of an error of the clean media, weighed by its own mean size."""
    off = error.flatten(1) * noised.to_media.to(error)[:, None]
    return off.square().mean(1) / off.detach().abs().mean(1).clamp(min=_LEAST)


def _kept(conditions: Conditions) -> dict[str, Tensor]:
    """The conditions of one medium as tensors to keep."""
    masks = {f"mask.{name}": mask[0] for name, mask in conditions.masks.items()}
    return {f"condition.{name}": values[0] for name, values in conditions.tensors.items()} | masks


def _given(tensors: Mapping[str, Tensor]) -> Conditions:
    """The conditions that were kept."""
    tensors, masks = (
        {name.removeprefix(kind): values for name, values in tensors.items() if name.startswith(kind)}
        for kind in ("condition.", "mask.")
    )
    return Conditions(tensors, masks)

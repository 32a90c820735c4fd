"""Policy gradient on the steps from noise to media: each draws from a Gaussian, whose density is known.

Sources, as settings: DDPO (arXiv 2305.13301, section 4.3; importance ratio of each step), Flow-GRPO (arXiv 2505.05470,
eq. 4 to 9; steps of a flow with noise, KL divergence of the means), DanceGRPO (arXiv 2505.07818; one start for a group,
some of the steps), MixGRPO (arXiv 2507.21802) and Flow-GRPO's fast form (noise in a window of steps alone).
The divergence is that of the Gaussians of a step; Flow-GRPO's released code leaves the length of the step out of it.
"""

import math
from typing import Annotated, Any, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from modalink.errors import TrainingError
from modalink.kinds import Count
from modalink.roles import Conditions, Walk, Walks
from modalink.training.objectives._sampled import Judged, Made, RatioConfig, Requests, usual


class DenoisingPolicyConfig(RatioConfig):
    """The loss of media by how likely each of their steps is; its unit is one medium, whose steps weigh alike."""

    otherwise: ClassVar[str] = "take condition_policy, which asks nothing of it"

    denoises: ClassVar[bool] = True
    kind: Literal["denoising_policy"] = "denoising_policy"
    noise: Annotated[float, Field(ge=0, le=10)] | None = None
    """How much noise steps draw: eta of DDIM (DDPO 1), or the factor of flows (Flow-GRPO 0.7); the generator's usual if
    not set."""
    window: Count | None = None
    """So many steps in a row, anew in each step of training, draw noise and are learned; the others draw none. None:
    all do."""
    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the steps with noise that is learned, drawn anew in each step of training (DanceGRPO 0.6)."""
    shared_start: bool = False
    """Whether the media of one request begin in the same noise (DanceGRPO)."""

    def abilities(self) -> tuple[type, ...]:
        return (Walks,)

    @torch.no_grad()
    def draw(self, generator: Any, requests: Requests) -> list[Made]:
        made = requests.repeated
        walk = self._walk(generator, made)
        noisy, learned = self._chosen(walk, requests.shared)
        still = self._walk(generator, made, noise=0.0)
        latents = [walk.start(requests.sources("start", same=self.shared_start))]
        rng = requests.sources("steps")
        for number in range(walk.steps):
            step = (walk if number in noisy else still).step(latents[-1], number)
            latents.append(step.draw(rng))
        before, after = (torch.stack([latents[n + later] for n in learned], 1) for later in (0, 1))
        numbers = torch.tensor(learned)
        media = walk.media(latents[-1])
        return [
            Made(medium, {"before": before[i], "after": after[i], "steps": numbers}) for i, medium in enumerate(media)
        ]

    def losses(self, generator: Any, judged: Judged) -> Float[Tensor, " n"]:
        walk = self._walk(generator, judged.conditions)
        reference = self._walk(generator, judged.reference) if self.kl else None
        old = judged.tensors.get("densities")
        total = torch.zeros_like(judged.advantages)
        numbers = _numbers(judged)
        for place, number in enumerate(numbers):
            before, after = judged.tensors["before"][:, place], judged.tensors["after"][:, place]
            step = checkpoint(walk.step, before, number, use_reentrant=False)
            earlier = None if old is None else old[:, place]
            total = total + self.clipped(step.log_density(after), earlier, judged.advantages)
            if reference is not None:
                with torch.no_grad(), judged.denoiser.at_start():
                    mean = reference.step(before, number).mean
                total = total + self.kl * step.divergence(mean)
        return total / len(numbers)

    @torch.no_grad()
    def remembered(self, generator: Any, judged: Judged) -> dict[str, Tensor]:
        """The density of each step that is learned."""
        walk, found = self._walk(generator, judged.conditions), []
        for place, number in enumerate(_numbers(judged)):
            step = walk.step(judged.tensors["before"][:, place], number)
            found.append(step.log_density(judged.tensors["after"][:, place]))
        return {"densities": torch.stack(found, 1)}

    def _walk(self, generator: Any, conditions: Conditions, noise: float | None = None) -> Walk:
        noise = self.noise if noise is None else noise
        found: Walk = generator.walk(conditions, noise=noise, **usual(steps=self.steps, guidance=self.guidance))
        return found

    def _chosen(self, walk: Walk, seed: int) -> tuple[list[int], list[int]]:
        """The steps that draw noise, and those of them that are learned."""
        random, rng = [*walk.random], torch.Generator().manual_seed(seed)
        if not random or (self.window or 0) > len(random):
            raise TrainingError(
                f"the objective {self.kind!r}: found {len(random)} steps that draw noise (noise {self.noise}, window "
                f"{self.window}), needed {self.window or 1} at least: only what is drawn has a density"
            )
        if self.window is not None:
            first = int(torch.randint(len(random) - self.window + 1, (), generator=rng))
            random = random[first : first + self.window]
        count = math.ceil(self.fraction * len(random))
        return random, sorted(random[i] for i in torch.randperm(len(random), generator=rng)[:count].tolist())


def _numbers(judged: Judged) -> list[int]:
    """The steps that are learned, the same for all media of a step of training."""
    numbers: list[int] = judged.tensors["steps"][0].tolist()
    return numbers

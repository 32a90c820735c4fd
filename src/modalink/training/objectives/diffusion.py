"""Denoising: the generator shall restore the target medium under the conditions that the output projector makes.

Source: survey arXiv 2401.13601, eq. 5; dropped conditions as in classifier-free guidance, arXiv 2207.12598.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from modalink.model.batch import Targets
from modalink.roles import Conditions, Denoises
from modalink.training.objectives import GeneratorView
from modalink.training.objectives._reproducing import ReproducingConfig
from modalink.training.randomness import ItemRngs


class DiffusionConfig(ReproducingConfig):
    """Mean squared error of the generator's predicted noise; its unit is one target item."""

    denoises: ClassVar[bool] = True
    kind: Literal["diffusion"] = "diffusion"

    def abilities(self) -> tuple[type, ...]:
        return (Denoises,)

    def errors(
        self,
        view: GeneratorView,
        modality: str,
        targets: Targets,
        chosen: Sequence[int],
        conditions: Conditions,
        rngs: ItemRngs,
    ) -> Float[Tensor, " i"]:
        noise = rngs.of(f"noise {modality}", targets.samples)
        return view.denoising_error(view.latents(targets, chosen), conditions, [noise[i] for i in chosen])

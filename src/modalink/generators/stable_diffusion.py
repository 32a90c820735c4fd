"""Stable Diffusion 1 and 2 and their kin: text tokens condition a UNet that restores image latents.

Source: Rombach et al., High-Resolution Image Synthesis with Latent Diffusion Models (arXiv 2112.10752); classifier-free
guidance: Ho and Salimans (arXiv 2207.12598). The numbers are those of diffusers' StableDiffusionPipeline.
"""

from typing import Literal

import diffusers

from modalink.generators._latent import able
from modalink.generators._stable import StableConfig
from modalink.generators._stable_images import StableImages
from modalink.roles import ReadsText


class StableDiffusionConfig(StableConfig):
    """Settings of a Stable Diffusion generator; the checkpoint is a diffusers pipeline."""

    kind: Literal["stable_diffusion"] = "stable_diffusion"

    def makes(self) -> frozenset[str]:
        """Images."""
        return frozenset({"image"})

    def tiny(self) -> "StableDiffusionConfig":
        """The zoo's pipeline."""
        return self.from_zoo("diffusion", size=None).at_most(steps=20)

    def build(self, *, weights: bool = True) -> "StableDiffusion":
        """The frozen generator, with the checkpoint's weights or only its architecture.

        Raises:
            PartError: A part of the pipeline is missing, damaged, or does not fit the others.
        """
        self.check_widths()
        unet = self.network("unet", diffusers.UNet2DConditionModel, weights=weights)
        return able(StableDiffusion(unet=unet, **self.shared(weights)), self.checkpoint)


class StableDiffusion(StableImages, ReadsText):
    """Images from 77 text tokens."""

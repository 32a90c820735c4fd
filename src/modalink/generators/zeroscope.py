"""ModelScope's text-to-video model and Zeroscope, made of it: text tokens condition a UNet of space and time.

Source: Wang et al., ModelScope Text-to-Video Technical Report (arXiv 2308.06571). The networks are diffusers' and
transformers'; the sampler is ours and gives the numbers of diffusers' TextToVideoSDPipeline, which is deprecated.
"""

from typing import Annotated, Literal

import diffusers
from pydantic import Field

from modalink.generators._clips import ClipPreprocessor, StableClips
from modalink.generators._latent import able
from modalink.generators._stable import StableConfig
from modalink.generators.latte import LatteConfig
from modalink.kinds import Count


class ZeroscopeConfig(StableConfig):
    """Settings of a Zeroscope or ModelScope generator; the checkpoint is a diffusers pipeline.

    Zeroscope v2 (`cerspense/zeroscope_v2_576w`) was trained on clips of 24 frames of 576 x 320 px: `size: 576x320`.
    """

    kind: Literal["zeroscope"] = "zeroscope"
    guidance: Annotated[float, Field(ge=0, le=1000)] = 9.0
    """Strength of classifier-free guidance when sampling; 1 is none."""
    steps: Count = 25
    """Denoising steps when sampling."""
    frames: Count = 16
    """Frames of a clip."""
    fps: Annotated[float, Field(ge=1, le=120)] = 8.0
    """Frames a second."""

    def makes(self) -> frozenset[str]:
        """Videos."""
        return frozenset({"video"})

    def tiny(self) -> LatteConfig:
        """The zoo's pipeline of clips, which is a Latte."""
        return LatteConfig(checkpoint=self.checkpoint).tiny()

    def build(self, *, weights: bool = True) -> "Zeroscope":
        """The frozen generator, with the checkpoint's weights or only its architecture.

        Raises:
            PartError: A part of the pipeline is missing, damaged, or does not fit the others.
        """
        self.check_widths()
        unet = self.network("unet", diffusers.UNet3DConditionModel, weights=weights)
        shared = self.shared(weights, frames=self.frames)
        return able(Zeroscope(unet=unet, fps=self.fps, most_frames=1000, **shared), self.checkpoint)

    def preprocessor(self) -> ClipPreprocessor:
        """What a video goes through before `encode_media`."""
        return ClipPreprocessor(self.side(), self.frames, self.fps)


class Zeroscope(StableClips):
    """Clips from text tokens, which every frame reads."""

"""AnimateDiff: a pipeline of Stable Diffusion 1.5 that a motion adapter makes into one of clips.

Source: Guo et al., AnimateDiff (arXiv 2307.04725). Its conditions are those of the pictures' pipeline, so a projector
that was trained to draw drives it as it is. The numbers are those of diffusers' AnimateDiffPipeline.
"""

from typing import Annotated, Any, Literal

import diffusers
from pydantic import Field
from torch import Tensor

from modalink import hub
from modalink.errors import PartError, shown
from modalink.generators._clips import ClipPreprocessor, StableClips
from modalink.generators._latent import able
from modalink.generators._stable import TOKENS, StableConfig
from modalink.generators.latte import LatteConfig
from modalink.kinds import Count
from modalink.roles import Conditions


class AnimateDiffConfig(StableConfig):
    """Settings of an AnimateDiff generator; the checkpoint is a pipeline of Stable Diffusion 1."""

    kind: Literal["animatediff"] = "animatediff"
    motion: str = "guoyww/animatediff-motion-adapter-v1-5-2"
    """The motion adapter: a local folder, or a Hugging Face hub id."""
    motion_revision: str | None = None
    """Commit or tag of a motion adapter of the hub."""
    solver: Literal["checkpoint", "ddim", "dpm"] = "ddim"
    """How it samples, over the adapter's noise schedule; `checkpoint`: the scheduler of the pictures' pipeline."""
    beta_schedule: Literal["linear", "checkpoint"] = "linear"
    """The noise schedule that the adapter was trained with: all of AnimateDiff's own are linear."""
    guidance: Annotated[float, Field(ge=0, le=1000)] = 7.5
    """Strength of classifier-free guidance when sampling; 1 is none."""
    steps: Count = 25
    """Denoising steps when sampling."""
    frames: Count = 16
    """Frames of a clip."""
    fps: Annotated[float, Field(ge=1, le=120)] = 8.0
    """Frames a second."""

    def checkpoints(self) -> tuple[tuple[str, str | None], ...]:
        """The pipeline and the motion adapter."""
        return (*super().checkpoints(), (self.motion, self.motion_revision))

    def makes(self) -> frozenset[str]:
        """Videos."""
        return frozenset({"video"})

    def tiny(self) -> LatteConfig:
        """The zoo's pipeline of clips, which is a Latte."""
        return LatteConfig(checkpoint=self.checkpoint).tiny()

    def build(self, *, weights: bool = True) -> "AnimateDiff":
        """The frozen generator, with the checkpoints' weights or only its architecture.

        Raises:
            PartError: A part is missing, damaged, or does not fit the others.
        """
        self.check_widths()
        motion = self._motion(weights)
        unet = self.network("unet", diffusers.UNet2DConditionModel, weights=weights)
        what = f"{self.motion}: it does not fit the UNet of {self.checkpoint}"
        # It would keep no module in another precision.
        with hub.foreign(PartError, what), hub.without_advice("diffusers.models.modeling_utils"):
            moving = diffusers.UNetMotionModel.from_unet2d(unet, motion)
        most = motion.config.motion_max_seq_length
        shared = self.shared(weights, frames=self.frames)
        return able(AnimateDiff(unet=moving, fps=self.fps, most_frames=most, **shared), self.motion)

    def new_solver(self, **changes: Any) -> Any:
        """A scheduler of diffusers over the noise schedule of the adapter."""
        if self.beta_schedule == "linear":
            changes = {"beta_schedule": "linear", "timestep_spacing": "linspace", "clip_sample": False} | changes
        return super().new_solver(**changes)

    def preprocessor(self) -> ClipPreprocessor:
        """What a video goes through before `encode_media`."""
        return ClipPreprocessor(self.side(), self.frames, self.fps)

    def _motion(self, weights: bool) -> Any:
        facts = hub.component(self.motion, "", self.motion_revision)
        if (found := facts.get("_class_name", "MotionAdapter")) != "MotionAdapter":
            raise PartError(f"{self.motion}: found a {shown(found)}, needed a motion adapter of diffusers")
        if weights:
            return hub.load(
                diffusers.MotionAdapter, self.motion, revision=self.motion_revision, dtype=self.dtype,
            )  # fmt: skip
        with hub.building(f"{self.motion}: the motion adapter cannot be built"):
            return diffusers.MotionAdapter.from_config(facts)


class AnimateDiff(StableClips):
    """Clips from the conditions of pictures."""

    def predict(self, noisy: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        """What the UNet predicts; it takes the tokens anew for each frame."""
        dtype, frames = self.unet.dtype, noisy.shape[2]
        tokens = conditions[TOKENS].to(dtype).repeat_interleave(frames, 0)
        prediction: Tensor = self.unet(noisy.to(dtype), times, tokens).sample
        return prediction

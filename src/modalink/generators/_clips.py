"""Clips as a latent video generator sees them: frames of one size with values in [-1, 1], both ways, few at a time."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from modalink.errors import GenerationError
from modalink.generators._images import seen, to_pixels
from modalink.generators._latent import LatentDiffusion, LatentWalk
from modalink.generators._stable import Stable
from modalink.modalities.video import Clip, VideoHandle
from modalink.ragged import Ragged
from modalink.roles import Conditions, MediaOptions, Preprocessor, ReadsText, ShouldStop, check_stop

_TOGETHER = 4
"""Frames that go through the VAE at once: its activations are far larger than they are."""


class ClipPreprocessor(Preprocessor):
    """Frames at a rate from the beginning, or spread over a video that is too short for them; the middle of each.

    Args:
        side: Side of the frames in pixels, or their height and width.
        frames: How many.
        fps: How many a second.
    """

    def __init__(self, side: int | tuple[int, int], frames: int, fps: float) -> None:
        self.side, self.frames, self.fps = side, frames, fps

    def times_s(self, video: VideoHandle) -> list[float]:
        """When the frames are shown, in seconds from the first."""
        seconds = min(self.frames / self.fps, video.duration_s)
        return [number * seconds / self.frames for number in range(self.frames)]

    def __call__(self, medium: VideoHandle) -> Float[Tensor, "1 f 3 h w"]:
        """The video as one unit of all frames, float32 in [-1, 1]."""
        middles = [self._middle(image) for image in medium.frames(self.times_s(medium))]
        pixels = torch.from_numpy(np.stack(middles))
        return pixels.permute(0, 3, 1, 2).contiguous()[None] / 127.5 - 1

    def _middle(self, image: Image.Image) -> np.ndarray:
        height, width = (self.side, self.side) if isinstance(self.side, int) else self.side
        middle = ImageOps.fit(image.convert("RGB"), (width, height), Image.Resampling.BICUBIC)
        return np.array(middle, dtype=np.float32)

    def to_dict(self) -> dict[str, Any]:
        """All that decides the result, as JSON data."""
        side = self.side if isinstance(self.side, int) else [*self.side]
        middles = {"side": side, "fit": "centre", "resample": "bicubic", "range": [-1, 1]}
        return {"frames": self.frames, "fps": self.fps, **middles}


class ClipDiffusion(LatentDiffusion):
    """Base of generators of clips whose VAE knows pictures alone: few frames go through it at once."""

    vae: Any
    """Between pictures and latents; the family sets it."""
    fps: float
    """Frames a second of what is made; the family sets it."""

    @torch.no_grad()
    def encode_media(self, media: Ragged) -> Float[Tensor, "i c f y x"]:
        """The scaled latents of clips in [-1, 1], each of one unit `[f 3 h w]`; the mode of the VAE's posterior."""
        frames = media.values.flatten(0, 1).split(_TOGETHER)
        found = [self.vae.encode(some.to(self.vae.dtype)).latent_dist.mode() for some in frames]
        latents = torch.cat(found).mul(self.vae.config.scaling_factor)
        return latents.unflatten(0, media.values.shape[:2]).transpose(1, 2).contiguous()

    def visible(self, latents: Float[Tensor, "i c f y x"], asked: MediaOptions) -> Float[Tensor, "i f 3 h w"]:
        """The frames of clips, from 0 to 1; a few frames are decoded at a time, and again in the backward pass."""
        frames = latents.transpose(1, 2)
        parts = [checkpoint(self._decoded, some, use_reentrant=False) for some in frames.flatten(0, 1).split(_TOGETHER)]
        return seen(torch.cat(parts)).unflatten(0, frames.shape[:2])

    @torch.no_grad()
    def to_media(self, latents: Tensor, asked: MediaOptions, should_stop: ShouldStop | None) -> list[Clip]:
        """Clips from scaled latents; a few frames are decoded at a time, and kept as bytes."""
        return [Clip.of(self._pixels(clip, should_stop), self.fps) for clip in latents.transpose(1, 2)]

    def _pixels(self, latents: Float[Tensor, "f c y x"], should_stop: ShouldStop | None) -> np.ndarray:
        made: list[np.ndarray] = []
        for some in latents.split(_TOGETHER):
            check_stop(should_stop, "before all of its frames were made")
            made.append(to_pixels(self._decoded(some)))
        return np.concatenate(made)

    def _decoded(self, latents: Float[Tensor, "f c y x"]) -> Float[Tensor, "f 3 h w"]:
        frames: Tensor = self.vae.decode(latents.to(self.vae.dtype) / self.vae.config.scaling_factor).sample
        return frames


class LastingClips(LatentWalk):
    """Base of generators of clips that last as long as a request says, in frames or in seconds."""

    fps: float
    """Frames a second of what is made; the family sets it."""
    most_frames: int
    """Most frames of one clip; the family sets it."""

    def checked(
        self,
        conditions: Conditions,
        *,
        rng: list[torch.Generator] | None,
        negative: Conditions | None = None,
        **options: Any,
    ) -> MediaOptions:
        """As of every generator; a length in seconds becomes one in frames."""
        asked = super().checked(conditions, rng=rng, negative=negative, **options)
        if asked.seconds is None:
            return asked
        if options.get("frames") is not None:
            raise GenerationError(
                f"found {asked.frames} frames and {asked.seconds:g} seconds, needed one of them: a clip has "
                f"{self.fps:g} frames a second, which the setting `fps` of the generator says"
            )
        return asked.model_copy(update={"frames": self.frames_in(min(asked.seconds, 1e6 / self.fps))})

    def frames_in(self, seconds: float) -> int:
        """How many frames last so long."""
        return max(1, round(seconds * self.fps))

    def counted(self, asked: MediaOptions) -> int:
        """The frames of what is asked.

        Raises:
            GenerationError: They are too many.
        """
        assert asked.frames is not None
        if asked.frames > self.most_frames:
            raise GenerationError(
                f"found {asked.frames:,} frames ({asked.frames / self.fps:g} s), needed at most {self.most_frames:,} "
                f"({self.most_frames / self.fps:g} s)"
            )
        return asked.frames


class StableClips(LastingClips, ClipDiffusion, Stable, ReadsText):
    """Base of generators of Stable Diffusion's family that make clips.

    Args:
        fps: Frames a second of what is made.
        most_frames: Most frames of one clip.
        settings: See `Stable`.
    """

    options = frozenset({"steps", "guidance", "size", "seconds", "frames"})

    def __init__(self, *, fps: float, most_frames: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.fps, self.most_frames = fps, most_frames

    def latent_shape(self, asked: MediaOptions) -> tuple[int, int, int, int]:
        """Channels, frames, height and width of a clip's latents."""
        frames = self.counted(asked)
        return self.unet.config.in_channels, frames, *self.latent_grid(asked, frames)

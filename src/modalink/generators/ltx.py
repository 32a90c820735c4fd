"""LTX-Video: a transformer walks along a flow through few, wide latents of a clip, under T5's states with their mask.

Source: HaCohen et al., LTX-Video (arXiv 2501.00103). Its autoencoder makes one latent of 32 x 32 pixels of 8 frames;
the first frame has latents of its own. Positions are told in seconds and pixels. The networks are diffusers' and
transformers'; the sampler is ours and gives the numbers of diffusers' LTXPipeline.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Literal

import diffusers
import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import T5EncoderModel

from modalink import hub
from modalink.errors import GenerationError, PartError, shown
from modalink.generators._clips import ClipPreprocessor, LastingClips
from modalink.generators._flow import FlowConfig, FlowMatching, GrowingShift, ending
from modalink.generators._images import seen, to_pixels
from modalink.generators._latent import able, latent_size
from modalink.generators._stable import TOKENS
from modalink.generators._steps import FlowPath
from modalink.generators._t5 import read_t5
from modalink.generators.latte import LatteConfig
from modalink.kinds import Count
from modalink.modalities.video import Clip
from modalink.ragged import Ragged
from modalink.roles import (
    Conditions,
    ConditionShape,
    MediaOptions,
    ReadsText,
    ShouldStop,
    Size,
    check_stop,
    drawn,
)

MOST_PIXELS = 2**28
"""Most pixels of one clip: of its latents there are few. As many have 257 frames of 1280 x 720 px."""
_Share = Annotated[float, Field(ge=0, le=1)]


class LtxConfig(FlowConfig):
    """Settings of an LTX-Video generator; the checkpoint is a diffusers pipeline (`Lightricks/LTX-Video`)."""

    denoiser: ClassVar[str | None] = "transformer"
    kind: Literal["ltx"] = "ltx"
    steps: Count = 50
    """Denoising steps when sampling."""
    size: Size = (512, 704)
    """Height and width of the frames that it makes and learns from, in pixels."""
    frames: Count = 161
    """Frames of a clip: one more than a multiple of the frames that a latent holds (8 as published)."""
    fps: Annotated[float, Field(ge=1, le=120)] = 25.0
    """Frames a second, of which the transformer is told."""
    text_tokens: Count = 128
    """Most tokens of T5; the text of a longer caption is cut, and a projector makes as many."""
    rescale: _Share = 0.0
    """Share of a prediction that is given the spread it has without guidance."""
    decode_timestep: _Share = 0.05
    """Share of noise that a decoder is told which restores the last of it (0.9.1 and later); others read none."""
    decode_noise_scale: _Share = 0.025
    """Share of noise that such a decoder is given."""

    def makes(self) -> frozenset[str]:
        """Videos."""
        return frozenset({"video"})

    def tiny(self) -> LatteConfig:
        """The zoo's pipeline of clips, which is a Latte."""
        return LatteConfig(checkpoint=self.checkpoint).tiny()

    def build(self, *, weights: bool = True) -> "Ltx":
        """The frozen generator, with the checkpoint's weights or only its architecture.

        Raises:
            PartError: A part of the pipeline is missing, damaged, or does not fit the others.
        """
        self._check_fit()
        made = Ltx(
            transformer=self.network("transformer", diffusers.LTXVideoTransformer3DModel, weights=weights),
            vae=self.network("vae", diffusers.AutoencoderKLLTXVideo, weights=weights),
            text_encoder=self.text_encoder(kind=T5EncoderModel, weights=weights),
            tokenizer=self.tokenizer() if weights else None,
            fps=self.fps,
            decode_noise=(self.decode_timestep, self.decode_noise_scale),
            growing_shift=self.growing_shift(),
            solver=self.new_solver(),
            condition_shapes=self.condition_shapes(),
            times=self.times,
            shift=self.fixed_shift(),
            min_snr=self.min_snr,
            rescale=self.rescale,
            defaults=MediaOptions(steps=self.steps, guidance=self.guidance, size=self.size, frames=self.frames),
        )
        return able(made, self.checkpoint)

    def condition_shapes(self) -> dict[str, ConditionShape]:
        """T5's states with their mask, read without the weights."""
        with hub.foreign(PartError, f"{self.checkpoint}: found no conditions in its settings"):
            width = self.component("transformer")["caption_channels"]
            return {TOKENS: ConditionShape(width, self.text_tokens, masked=True)}

    def preprocessor(self) -> ClipPreprocessor:
        """What a video goes through before `encode_media`."""
        return ClipPreprocessor(self.size, self.frames, self.fps)

    def _check_fit(self) -> None:
        with hub.foreign(PartError, f"{self.checkpoint}: found no widths in its settings"):
            text, transformer, vae = (self.component(name) for name in ("text_encoder", "transformer", "vae"))
            inner = transformer["num_attention_heads"] * transformer["attention_head_dim"]
            pairs = {"T5's states": (text["d_model"], transformer["caption_channels"])}
            pairs |= {"latents": (vae["latent_channels"], transformer["in_channels"])}
            pairs |= {"restored latents": (transformer["out_channels"] or pairs["latents"][1], pairs["latents"][1])}
            pairs |= {"projected states": (inner, transformer["cross_attention_dim"])}
            patches = [transformer.get("patch_size", 1), transformer.get("patch_size_t", 1), vae.get("patch_size_t", 1)]
        self.demand_widths(pairs)
        if patches != [1, 1, 1]:
            raise PartError(
                f"{self.checkpoint}: found patches of {shown(patches[0])} latents a side and {shown(patches[1])} times "
                f"and of {shown(patches[2])} frames, needed 1 of each, as all published have"
            )


class Ltx(LastingClips, FlowMatching, ReadsText):
    """The frozen networks of a pipeline, and what is done with them.

    Args:
        transformer: Predicts the velocity of latents, each a token.
        vae: Between clips and latents.
        text_encoder: T5's encoder.
        tokenizer: T5's; None for a bare architecture.
        fps: Frames a second of what is made.
        decode_noise: Share of noise that the decoder is told, and that it is given.
        growing_shift: How far times are moved, where that depends on the number of latents.
        settings: See `FlowMatching`.
    """

    options = frozenset({"steps", "guidance", "size", "seconds", "frames"})
    most_frames = 1000

    def __init__(
        self,
        *,
        transformer: Any,
        vae: Any,
        text_encoder: Any,
        tokenizer: Any,
        fps: float,
        decode_noise: tuple[float, float],
        growing_shift: GrowingShift | None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.transformer, self.vae, self.fps = transformer, vae, fps
        self.text_encoder, self.tokenizer = text_encoder, tokenizer
        self.decode_noise, self.growing_shift = decode_noise, growing_shift
        self.requires_grad_(False).eval()

    def encode_text(self, texts: list[str]) -> Conditions:
        """T5's states of captions, with their mask; a caption that is too long is cut."""
        tokens = self.condition_shapes[TOKENS].tokens
        return read_t5(TOKENS, self.tokenizer, self.text_encoder, texts, tokens, reads_filling=True)

    def null_conditions(self, items: int) -> Conditions:
        """The conditions of the empty text."""
        return self.encode_text([""] * items)

    @torch.no_grad()
    def encode_media(self, media: Ragged) -> Float[Tensor, "i c f y x"]:
        """The scaled latents of clips in [-1, 1], each of one unit `[f 3 h w]`; the mode of the VAE's posterior."""
        clips = media.values.transpose(1, 2).to(self.vae.dtype).split(1)
        latents = torch.cat([self.vae.encode(clip).latent_dist.mode() for clip in clips])
        mean, std = self._statistics(latents)
        return (latents - mean) * self.vae.config.scaling_factor / std

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread of each channel of the VAE's latents."""
        kept = (self.vae.latents_mean, self.vae.latents_std)
        mean, std = (values.to(like.device, like.dtype).view(-1, 1, 1, 1) for values in kept)
        return mean, std

    def frames_in(self, seconds: float) -> int:
        """The number of frames that can be made nearest to so many seconds."""
        times = self.vae.temporal_compression_ratio
        return max(0, round((seconds * self.fps - 1) / times)) * times + 1

    def latent_shape(self, asked: MediaOptions) -> tuple[int, int, int, int]:
        """Channels, frames, height and width of a clip's latents."""
        frames, times = self.counted(asked), self.vae.temporal_compression_ratio
        if (frames - 1) % times:
            raise GenerationError(
                f"frames: found {frames}, needed one more than a multiple of {times}, for example "
                f"{self.frames_in(frames / self.fps)}"
            )
        side = latent_size(asked.size, self.vae.spatial_compression_ratio, frames, MOST_PIXELS)
        return self.transformer.config.in_channels, (frames - 1) // times + 1, *side

    def shift_of(self, shape: tuple[int, ...]) -> float:
        """How far times are moved: for larger clips further, where the checkpoint's scheduler has it so."""
        return self.shift if self.growing_shift is None else self.growing_shift.of(_tokens(shape))

    def at_start(self, asked: MediaOptions, device: torch.device) -> Any:
        """A solver for one walk, at the beginning of the steps that are asked for."""
        assert asked.steps is not None
        shape, solver = self.latent_shape(asked), self.own_solver()
        if not isinstance(solver, diffusers.FlowMatchEulerDiscreteScheduler):
            solver = type(solver).from_config(solver.config, flow_shift=self.shift_of(shape))
            solver.set_timesteps(asked.steps, device=device)
            return solver
        solver = type(solver).from_config(solver.config, **ending(asked.steps))
        mu = None if self.growing_shift is None else self.growing_shift.mu(_tokens(shape))
        solver.set_timesteps(sigmas=np.linspace(1.0, 1 / asked.steps, asked.steps), mu=mu, device=device)
        return solver

    def path(self, asked: MediaOptions, device: torch.device) -> FlowPath:
        """Euler's steps along the flow, at the solver's own times."""
        euler = isinstance(self.solver, diffusers.FlowMatchEulerDiscreteScheduler)
        return FlowPath(self.at_start(asked, device), device) if euler else super().path(asked, device)

    def finish(
        self,
        latents: Float[Tensor, "i c f y x"],
        asked: MediaOptions,
        should_stop: ShouldStop | None,
        rng: list[torch.Generator],
    ) -> list[Clip]:
        """Clips from scaled latents; what the decoder draws is from each item's own source."""
        clips = []
        for number, (own, source) in enumerate(zip(latents, rng, strict=True), start=1):
            check_stop(should_stop, f"before the frames of clip {number} of {len(latents)} were made")
            clips.append(Clip.of(to_pixels(self.decoded(own, source)), self.fps))
        return clips

    @torch.no_grad()
    def to_media(self, latents: Tensor, asked: MediaOptions, should_stop: ShouldStop | None) -> list[Clip]:
        """Clips from scaled latents; what the decoder draws is the same for all."""
        return self.finish(latents, asked, should_stop, [_usual() for _ in latents])

    def visible(self, latents: Float[Tensor, "i c f y x"], asked: MediaOptions) -> Float[Tensor, "i t 3 h w"]:
        """The frames of clips, from 0 to 1; each clip is decoded again in the backward pass."""
        return torch.stack([seen(checkpoint(self.decoded, own, use_reentrant=False)) for own in latents])

    def decoded(
        self, latents: Float[Tensor, "c f y x"], source: torch.Generator | None = None
    ) -> Float[Tensor, "t 3 h w"]:
        """The frames of a clip, in about [-1, 1].

        Args:
            latents: Its scaled latents.
            source: Of what the decoder draws, where it restores the last of the noise; always the same if None.
        """
        source, time = source or _usual(), None
        mean, std = self._statistics(latents)
        read = (latents * std / self.vae.config.scaling_factor + mean)[None]
        if self.vae.config.timestep_conditioning:
            told, given = self.decode_noise
            read = (1 - given) * read + given * drawn([source], read)
            time = read.new_full((1,), told).to(self.vae.dtype)
        with self._drawing(source):
            clip: Tensor = self.vae.decode(read.to(self.vae.dtype), time).sample
        return clip[0].transpose(0, 1)

    @contextmanager
    def _drawing(self, source: torch.Generator) -> Iterator[None]:
        """Let the layers of a decoder that draw noise (0.9.1) draw it from a source: torch's own is all they know."""
        if not any(self.vae.config.decoder_inject_noise):
            yield
            return
        seed = int(torch.randint(2**63 - 1, (1,), generator=source, device=source.device))
        device = self.vae.device
        with torch.random.fork_rng([] if device.type == "cpu" else [device], device_type=device.type):
            torch.manual_seed(seed)
            yield

    def predict(self, noisy: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        """The velocity of latents; the transformer is told where each is, in seconds and pixels."""
        dtype, there = self.transformer.dtype, conditions.mask(TOKENS)
        side, (frames, height, width) = self.vae.spatial_compression_ratio, noisy.shape[2:]
        velocity: Tensor = self.transformer(
            noisy.flatten(2).transpose(1, 2).to(dtype),
            # What is left out may be anything, which zero times it is not.
            encoder_hidden_states=conditions[TOKENS].where(there[..., None], 0).to(dtype),
            timestep=times.expand(len(noisy)),
            encoder_attention_mask=there,
            num_frames=frames,
            height=height,
            width=width,
            rope_interpolation_scale=(self.vae.temporal_compression_ratio / self.fps, side, side),
        ).sample
        return velocity.transpose(1, 2).unflatten(2, (frames, height, width)).to(noisy)


def _usual() -> torch.Generator:
    """The source of what a decoder draws where no item's own is known."""
    return torch.Generator().manual_seed(0)


def _tokens(shape: tuple[int, ...]) -> int:
    """How many tokens the latents of a clip are, each of all channels at one place."""
    _, frames, height, width = shape
    return frames * height * width

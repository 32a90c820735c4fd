"""Stable Audio Open: a transformer restores latents of a waveform, told the words and how long the sound is.

Source: Evans et al., Stable Audio Open (arXiv 2407.14358). T5's states are the condition; how long the sound lasts is a
constant of the request, and the generator adds it. The networks are diffusers' and transformers'; the sampler is ours
and gives the numbers of diffusers' StableAudioPipeline.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Literal

import diffusers
import torch
from diffusers.models.embeddings import get_1d_rotary_pos_embed
from diffusers.utils import is_torchsde_available
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import T5EncoderModel

from modalink import hub
from modalink.errors import GenerationError, PartError, shown
from modalink.generators._edm import SIGNS, CosineSolver, under_noise
from modalink.generators._latent import LatentDiffusion, able
from modalink.generators._pipelines import PipelineConfig
from modalink.generators._sounds import TargetSound, heard, to_sounds
from modalink.generators._steps import EdmPath
from modalink.generators._t5 import no_tokens, read_t5
from modalink.generators.musicgen import MusicgenConfig
from modalink.kinds import Count
from modalink.modalities.audio import Sound
from modalink.ragged import Ragged
from modalink.roles import (
    Conditions,
    ConditionShape,
    Guidance,
    MediaOptions,
    Noised,
    ReadsText,
    Seconds,
    ShouldStop,
    check_stop,
)

TOKENS = "tokens"
"""Name of its one condition."""
_COSINE = "CosineDPMSolverMultistepScheduler"
_MOST_SAMPLES = 2**24
"""Most samples of a sound, those of 6 minutes at 44,100 Hz."""


class StableAudioConfig(PipelineConfig):
    """Settings of a Stable Audio Open; the checkpoint is a diffusers pipeline."""

    denoiser: ClassVar[str | None] = "transformer"
    kind: Literal["stable_audio"] = "stable_audio"
    steps: Count = 100
    """Denoising steps when sampling."""
    guidance: Guidance = 7.0
    """Strength of classifier-free guidance when sampling; 1 is none."""
    seconds: Seconds | None = None
    """Length of a sound; the longest that the checkpoint makes if not set."""
    text_tokens: Count = 128
    """Most tokens of T5, as the checkpoint was trained; the text of a longer caption is cut, and a projector makes as
    many."""
    min_snr: float | None = Field(default=None, gt=0)
    """Min-SNR weighting of the denoising error (5 is usual); none if not set."""

    def makes(self) -> frozenset[str]:
        """Sounds."""
        return frozenset({"audio"})

    def build(self, *, weights: bool = True) -> "StableAudio":
        """The frozen generator, with the checkpoint's weights or only its architecture.

        Raises:
            PartError: A part of the pipeline is missing, damaged, or does not fit the others, or its scheduler is none
                that can walk here.
        """
        self._check_widths()
        made = StableAudio(
            transformer=self.network("transformer", diffusers.StableAudioDiTModel, weights=weights),
            vae=self.network("vae", diffusers.AutoencoderOobleck, weights=weights),
            projection=self.network("projection_model", diffusers.StableAudioProjectionModel, weights=weights),
            text_encoder=self.text_encoder(kind=T5EncoderModel, weights=weights),
            tokenizer=self.tokenizer() if weights else None,
            solver=self.new_solver(),
            condition_shapes=self.condition_shapes(),
            min_snr=self.min_snr,
            defaults=MediaOptions(steps=self.steps, guidance=self.guidance, seconds=self._seconds()),
        )
        return able(made, self.checkpoint)

    def tiny(self) -> MusicgenConfig:
        """The zoo's generator of sounds, which says codes."""
        return MusicgenConfig(checkpoint=self.checkpoint).tiny()

    def new_solver(self, **changes: Any) -> Any:
        """A scheduler of diffusers in EDM's scale: the checkpoint's own, or DPM-Solver++.

        Raises:
            PartError: The checkpoint's own needs a package that is missing, or is of another scale; or DDIM was asked
                for, which does not know this one.
        """
        own = str(self.component("scheduler").get("_class_name"))
        if self.solver == "ddim":
            raise PartError("solver: found 'ddim', which does not walk in EDM's scale; needed 'checkpoint' or 'dpm'")
        if own == _COSINE and self.solver == "checkpoint" and not is_torchsde_available():
            raise PartError(
                f"{self.checkpoint}: its scheduler {_COSINE} needs the package 'torchsde', which is not installed: pip "
                "install torchsde, or set `solver: dpm`, which takes the same steps with other noise"
            )
        found = self._dpm(own, **changes) if self.solver == "dpm" else super().new_solver(**changes)
        if not hasattr(found, "precondition_noise") or found.config.prediction_type not in SIGNS:
            kind = found.config.get("prediction_type")
            raise PartError(
                f"{self.checkpoint}: found a scheduler {own} that predicts {shown(kind)}, needed one in EDM's scale, "
                f"as EDMDPMSolverMultistepScheduler, that predicts {' or '.join(SIGNS)}"
            )
        return found

    def _dpm(self, own: str, **changes: Any) -> Any:
        """DPM-Solver++ over the checkpoint's strengths of noise, with the times that its transformer was taught."""
        facts, kind = self.component("scheduler"), diffusers.EDMDPMSolverMultistepScheduler
        if own == _COSINE:
            facts, kind = facts | {"algorithm_type": "sde-dpmsolver++"}, CosineSolver
        with (
            torch.device("cpu"),
            hub.foreign(PartError, f"{self.checkpoint}: cannot read scheduler/scheduler_config.json"),
        ):
            return kind.from_config(facts | changes)

    def condition_shapes(self) -> dict[str, ConditionShape]:
        """T5's states, read without the weights."""
        with hub.foreign(PartError, f"{self.checkpoint}: found no conditions in its settings"):
            return {TOKENS: ConditionShape(self.component("text_encoder")["d_model"], self.text_tokens, masked=True)}

    def preprocessor(self) -> TargetSound:
        """A sound at the autoencoder's rate, a block for each latent."""
        latents, hop, rate = self._span()
        most = latents if self.seconds is None else min(latents, max(1, math.ceil(int(self.seconds * rate) / hop)))
        return TargetSound(rate, hop, most)

    def _seconds(self) -> float:
        latents, hop, rate = self._span()
        return latents * hop / rate if self.seconds is None else self.seconds

    def _span(self) -> tuple[int, int, int]:
        """Latents of a sound, samples of one, and samples a second."""
        with hub.foreign(PartError, f"{self.checkpoint}: found no length of its sounds in its settings"):
            latents, vae = int(self.component("transformer")["sample_size"]), self.component("vae")
            span = latents, math.prod(vae["downsampling_ratios"]), int(vae["sampling_rate"])
            if min(span) < 1 or span[0] * span[1] > _MOST_SAMPLES:
                raise PartError(
                    f"{self.checkpoint}: makes {shown(span[0])} latents of {shown(span[1])} samples at "
                    f"{shown(span[2])} Hz, needed 1 to {_MOST_SAMPLES:,} samples"
                )
            return span

    def _check_widths(self) -> None:
        """Demand that each network reads what the one before it makes."""
        names = ("text_encoder", "projection_model", "transformer", "vae")
        with hub.foreign(PartError, f"{self.checkpoint}: found no widths in its settings"):
            text, link, transformer, vae = (self.component(name) for name in names)
            joined, latent = link["conditioning_dim"], transformer["in_channels"]
            made = {"T5's states": text["d_model"], "words": joined, "seconds": 2 * joined}
            made |= {"latents": vae["encoder_hidden_size"] // 2, "restored latents": transformer["out_channels"]}
            read = [link["text_encoder_dim"], transformer["cross_attention_input_dim"]]
            read += [transformer["global_states_input_dim"], latent, vae["decoder_input_channels"]]
        for (what, found), needed in zip(made.items(), read, strict=True):
            if found != needed:
                raise PartError(f"{self.checkpoint}: {what} are {found} wide, the network that reads them {needed}")


class StableAudio(LatentDiffusion, ReadsText):
    """The frozen networks of a pipeline, and what is done with them.

    Args:
        transformer: Predicts the velocity of latents `[c t]`, always as many as it was trained with.
        vae: Between samples and latents.
        projection: Brings T5's states and seconds to the transformer's width.
        text_encoder: T5's encoder.
        tokenizer: T5's; None for a bare architecture.
        settings: See `LatentDiffusion`.
    """

    options = frozenset({"steps", "guidance", "seconds"})

    def __init__(
        self, *, transformer: Any, vae: Any, projection: Any, text_encoder: Any, tokenizer: Any, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.transformer, self.vae, self.projection = transformer, vae, projection
        self.text_encoder, self.tokenizer = text_encoder, tokenizer
        self.rate_hz, self.hop = int(vae.config.sampling_rate), math.prod(vae.config.downsampling_ratios)
        self.latents = int(transformer.config.sample_size)
        self.requires_grad_(False).eval()

    def encode_text(self, texts: list[str]) -> Conditions:
        """T5's states of captions, with their mask; a caption that is too long is cut."""
        return read_t5(TOKENS, self.tokenizer, self.text_encoder, texts, self.condition_shapes[TOKENS].tokens)

    def null_conditions(self, items: int) -> Conditions:
        """No text at all."""
        return no_tokens(TOKENS, items, self.condition_shapes[TOKENS].item, next(self.transformer.parameters()))

    @torch.no_grad()
    def encode_media(self, media: Ragged) -> Float[Tensor, "i c t"]:
        """The latents of sounds, each of blocks of samples, silence behind: the mode of the autoencoder's posterior."""
        found = []
        for blocks in media:
            wave = functional.pad(blocks.reshape(1, 1, -1), (0, (self.latents - len(blocks)) * self.hop))
            stereo = wave.to(self.vae.dtype).expand(1, self.vae.config.audio_channels, -1)
            found.append(self.vae.encode(stereo).latent_dist.mode())
        return torch.cat(found)

    def noised(self, latents: Float[Tensor, "i c t"], rng: list[torch.Generator]) -> Noised:
        """Latents under noise of a strength that each item's rng draws, at unit spread."""
        return under_noise(latents, self.solver, rng, min_snr=self.min_snr)

    def path(self, asked: MediaOptions, device: torch.device) -> EdmPath:
        """Steps in EDM's scale, of strengths that the solver walks through."""
        assert asked.steps is not None
        return EdmPath(self.own_solver(), asked.steps, device)

    def latent_shape(self, asked: MediaOptions) -> tuple[int, int]:
        """Channels and times, always as many as the transformer was trained with."""
        assert asked.seconds is not None
        longest = self.latents * self.hop / self.rate_hz
        if int(asked.seconds * self.rate_hz) < 1 or asked.seconds > longest:
            raise GenerationError(
                f"seconds: found {asked.seconds:g}, needed a length from {1 / self.rate_hz:.2g} to {longest:g} seconds"
            )
        return self.transformer.config.in_channels, self.latents

    def to_media(self, latents: Tensor, asked: MediaOptions, should_stop: ShouldStop | None) -> list[Sound]:
        """Sounds from latents, as long as was asked, of as many channels as the autoencoder makes."""
        waves = []
        for number, own in enumerate(latents):  # each by itself, since a long sound needs much memory
            check_stop(should_stop, f"before the samples of sound {number + 1} of {len(latents)} were made")
            waves.append(self._channels(own, asked))
        return to_sounds(waves, self.rate_hz)

    def visible(self, latents: Float[Tensor, "i c t"], asked: MediaOptions) -> Float[Tensor, "i n"]:
        """The samples of sounds, with gradients; each is made again in the backward pass."""
        return heard(torch.stack([checkpoint(self._wave, own, asked, use_reentrant=False) for own in latents]))

    def _wave(self, latents: Float[Tensor, "c t"], asked: MediaOptions) -> Float[Tensor, " n"]:
        return self._channels(latents, asked).mean(0)

    def _channels(self, latents: Float[Tensor, "c t"], asked: MediaOptions) -> Float[Tensor, "a n"]:
        assert asked.seconds is not None
        made: Tensor = self.vae.decode(latents[None].to(self.vae.dtype)).sample
        return made[0, :, : int(asked.seconds * self.rate_hz)].float()

    def predicting(self, asked: MediaOptions) -> Callable[[Tensor, Tensor, Conditions], Tensor]:
        """`predict` for a sound as long as is asked for."""
        return partial(self.predict, seconds=asked.seconds)

    def predict(self, noisy: Tensor, times: Tensor, conditions: Conditions, seconds: float | None = None) -> Tensor:
        """What the transformer predicts.

        Args:
            noisy: Noisy latents, brought to unit spread.
            times: How strong their noise is, as the solver tells it: one, or one an item.
            conditions: T5's states; an item of which none is there is told no seconds in its place, either.
            seconds: Length of the sounds; the settings' own if None.
        """
        dtype, items = self.transformer.dtype, len(noisy)
        lasts = self.defaults.seconds if seconds is None else seconds
        ends = torch.tensor([[0.0], [lasts]], device=noisy.device)
        length = self.projection(start_seconds=ends[0], end_seconds=ends[1])
        spans = torch.cat([length.seconds_start_hidden_states, length.seconds_end_hidden_states], 1)
        states, there = conditions[TOKENS], conditions.mask(TOKENS)[..., None]
        # What is left out may be anything, which zero times it is not.
        words = self.projection(text_hidden_states=states.where(there, 0).to(self.projection.dtype)).text_hidden_states
        read = torch.cat([words.where(there, 0), spans.expand(items, -1, -1).where(there.any(1, keepdim=True), 0)], 1)
        rotary = get_1d_rotary_pos_embed(
            self.transformer.config.attention_head_dim // 2,
            noisy.shape[-1] + 1,
            use_real=True,
            repeat_interleave_real=False,
        )
        prediction: Tensor = self.transformer(
            noisy.to(dtype),
            times.reshape(-1).to(noisy.device),
            encoder_hidden_states=read.to(dtype),
            global_hidden_states=spans.flatten(1)[:, None].expand(items, -1, -1).to(dtype),
            rotary_embedding=tuple(table.to(noisy.device) for table in rotary),
            return_dict=False,  # its record is one that diffusers gives up
        )[0]
        return prediction

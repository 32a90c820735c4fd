"""Latte: a transformer over patches of frames, in space and time by turns, restores latents of clips from T5's states.

Source: Ma et al., Latte (arXiv 2401.03048). The networks are diffusers' and transformers'; the sampler is ours and
gives the numbers that diffusers' LattePipeline has of one clip.
"""

from typing import Annotated, Any, ClassVar, Literal

import diffusers
import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor
from transformers import T5EncoderModel

from modalink import hub
from modalink.errors import GenerationError, PartError
from modalink.generators._clips import ClipDiffusion, ClipPreprocessor
from modalink.generators._diffusion import Predict
from modalink.generators._guidance import null_conditions
from modalink.generators._latent import able, latent_size
from modalink.generators._pipelines import PipelineConfig
from modalink.generators._stable import TOKENS, read_captions
from modalink.kinds import Count
from modalink.roles import Conditions, ConditionShape, Guidance, MediaOptions, ReadsText, Size

_UNREAD = -10_000.0
"""What is added to the attention to a token that a mask leaves out."""


class LatteConfig(PipelineConfig):
    """Settings of a Latte generator; the checkpoint is a diffusers pipeline (`maxin-cn/Latte-1`)."""

    denoiser: ClassVar[str | None] = "transformer"
    kind: Literal["latte"] = "latte"
    guidance: Guidance = 7.5
    """Strength of classifier-free guidance when sampling; 1 is none."""
    steps: Count = 50
    """Denoising steps when sampling."""
    size: Size | None = None
    """Height and width of the frames that it makes, in pixels; the checkpoint's own square if not set."""
    fps: Annotated[float, Field(ge=1, le=120)] = 8.0
    """Frames a second."""
    text_tokens: Count = 120
    """Most tokens of T5; the text of a longer caption is cut, and a projector makes as many."""
    min_snr: float | None = Field(default=None, gt=0)
    """Min-SNR weighting of the denoising error (5 is usual); none if not set."""
    vae: str | None = None
    """A pipeline whose VAE of pictures is taken in the place of the checkpoint's own."""
    vae_revision: str | None = None
    """Commit or tag of that pipeline."""

    def place(self, name: str) -> tuple[str, str | None]:
        """The checkpoint that a subfolder is of, and its revision."""
        return super().place(name) if name != "vae" or self.vae is None else (self.vae, self.vae_revision)

    def checkpoints(self) -> tuple[tuple[str, str | None], ...]:
        """The pipeline, and that of the VAE where it is another's."""
        return (*super().checkpoints(), *([] if self.vae is None else [self.place("vae")]))

    def makes(self) -> frozenset[str]:
        """Videos."""
        return frozenset({"video"})

    def tiny(self) -> "LatteConfig":
        """The zoo's pipeline, over the latents of its pictures."""
        own = {"vae": "zoo:diffusion", "vae_revision": None, "size": None, "fps": 4.0, "guidance": 1.0}
        return self.from_zoo("clip_diffusion", **own, text_tokens=28, solver="checkpoint").at_most(steps=16)

    def build(self, *, weights: bool = True) -> "Latte":
        """The frozen generator, with the checkpoint's weights or only its architecture.

        Raises:
            PartError: A part of the pipeline is missing, damaged, or does not fit the others.
        """
        self._check_widths()
        made = Latte(
            transformer=self.network("transformer", diffusers.LatteTransformer3DModel, weights=weights),
            vae=self.network("vae", diffusers.AutoencoderKL, weights=weights),
            text_encoder=self.text_encoder(kind=T5EncoderModel, weights=weights),
            tokenizer=self.tokenizer() if weights else None,
            fps=self.fps,
            solver=self.new_solver(),
            condition_shapes=self.condition_shapes(),
            min_snr=self.min_snr,
            defaults=MediaOptions(steps=self.steps, guidance=self.guidance, size=self.size or self._side()),
        )
        return able(made, self.checkpoint)

    def condition_shapes(self) -> dict[str, ConditionShape]:
        """T5's states with their mask, read without the weights."""
        with hub.foreign(PartError, f"{self.checkpoint}: found no conditions in its settings"):
            width = self.component("transformer")["caption_channels"]
            return {TOKENS: ConditionShape(width, self.text_tokens, masked=True)}

    def preprocessor(self) -> ClipPreprocessor:
        """What a video goes through before `encode_media`: as many frames as the transformer knows times."""
        with hub.foreign(PartError, f"{self.checkpoint}: found no number of frames in its settings"):
            return ClipPreprocessor(self._side(), int(self.component("transformer").get("video_length", 16)), self.fps)

    def _side(self) -> int:
        return self.own_side("transformer")

    def _check_widths(self) -> None:
        with hub.foreign(PartError, f"{self.checkpoint}: found no widths in its settings"):
            text, transformer, vae = (self.component(name) for name in ("text_encoder", "transformer", "vae"))
            pairs = {"T5's states": (text["d_model"], transformer["caption_channels"])}
            pairs |= {"latents": (vae["latent_channels"], transformer["in_channels"])}
        self.demand_widths(pairs)


class Latte(ClipDiffusion, ReadsText):
    """The frozen networks of a pipeline, and what is done with them.

    Args:
        transformer: Predicts noise, or what else its schedule says, in the latents of so many frames as it was trained
            with.
        vae: Between pictures and latents.
        text_encoder: T5's encoder.
        tokenizer: T5's; None for a bare architecture.
        fps: Frames a second of what is made.
        settings: See `LatentDiffusion`.
    """

    options = frozenset({"steps", "guidance", "size"})

    def __init__(
        self, *, transformer: Any, vae: Any, text_encoder: Any, tokenizer: Any, fps: float, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.transformer, self.vae, self.fps = transformer, vae, fps
        self.text_encoder, self.tokenizer = text_encoder, tokenizer
        self.requires_grad_(False).eval()

    def encode_text(self, texts: list[str]) -> Conditions:
        """T5's states of captions, with their mask; a caption that is too long is cut."""
        return Conditions({TOKENS: (read := self._read(texts))[0]}, {TOKENS: read[1]})

    def null_conditions(self, items: int) -> Conditions:
        """All states of the empty text, also those behind its end: of these as many are read as of what is asked."""
        states, there = self._read([""] * items)
        return Conditions({TOKENS: states}, {TOKENS: torch.ones_like(there)})

    @torch.no_grad()
    def _read(self, texts: list[str]) -> tuple[Float[Tensor, "i l d"], Bool[Tensor, "i l"]]:
        read = read_captions(self.tokenizer, texts, self.condition_shapes[TOKENS].tokens).to(self.text_encoder.device)
        states = self.text_encoder(read.input_ids, attention_mask=read.attention_mask).last_hidden_state
        return states, read.attention_mask.bool()

    def latent_shape(self, asked: MediaOptions) -> tuple[int, int, int, int]:
        """Channels, frames, height and width of a clip's latents."""
        config = self.transformer.config
        grid = latent_size(asked.size, 2 ** (len(self.vae.config.block_out_channels) - 1), config.video_length)
        if any(side % config.patch_size for side in grid):
            raise GenerationError(
                f"size: found latents of {grid[1]} x {grid[0]} (width x height), needed sides that are multiples of "
                f"{config.patch_size}, the side of a patch"
            )
        return config.in_channels, config.video_length, *grid

    def guided(self, conditions: Conditions, asked: MediaOptions, negative: Conditions | None) -> Predict:
        """As of every generator, but of what it steers away from as many tokens are read as of what is asked for."""
        if (asked.guidance or 1) > 1:
            away = null_conditions(self) if negative is None else negative
            away = away if len(away) == len(conditions) else away.take([0] * len(conditions))
            mask = conditions.mask(TOKENS).to(away[TOKENS].device)
            negative = Conditions(away.tensors, {TOKENS: mask})
        return super().guided(conditions, asked, negative)

    def predict(self, noisy: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        """What the transformer predicts; what is learned of its spread is left out."""
        dtype, there = self.transformer.dtype, conditions.mask(TOKENS)
        # What is left out may be anything, which zero times it is not.
        states = conditions[TOKENS].where(there[..., None], 0).to(dtype)
        unread = torch.zeros_like(there, dtype=dtype).masked_fill(~there, _UNREAD)[:, None]
        prediction: Tensor = self.transformer(
            noisy.to(dtype),
            timestep=times.expand(len(noisy)),
            encoder_hidden_states=states,
            encoder_attention_mask=unread.repeat_interleave(noisy.shape[2], 0),
        ).sample
        return prediction[:, : noisy.shape[1]]

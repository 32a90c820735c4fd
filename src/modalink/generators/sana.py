"""Sana: a linear transformer walks along a flow, under the states of a language model with their mask.

Source: Xie et al., SANA (arXiv 2410.10629). Its autoencoder makes one latent of 32 x 32 pixels. The networks are
diffusers' and transformers'; the sampler is ours and gives the numbers of diffusers' SanaPipeline.
"""

from typing import Annotated, Any, ClassVar, Literal

import diffusers
import torch
from jaxtyping import Float
from PIL import Image
from pydantic import Field
from torch import Tensor

from modalink import hub
from modalink.errors import PartError
from modalink.generators._flow import FlowConfig, FlowMatching
from modalink.generators._images import TargetPreprocessor, seen, to_images
from modalink.generators._latent import able, latent_size
from modalink.generators.stable_diffusion import StableDiffusionConfig
from modalink.kinds import Count
from modalink.ragged import Ragged
from modalink.roles import Conditions, ConditionShape, MediaOptions, ReadsText, ShouldStop, Size, check_stop

TOKENS = "tokens"
"""Name of its one condition."""


class SanaConfig(FlowConfig):
    """Settings of a Sana generator; the checkpoint is a diffusers pipeline."""

    denoiser: ClassVar[str | None] = "transformer"
    kind: Literal["sana"] = "sana"
    tokens: Count = 300
    """Most tokens of a text; fewer are told by a mask."""
    instruction: str = ""
    """Text before each caption, as Sana's for its language model; of its states the first alone is kept."""
    guidance: Annotated[float, Field(ge=0, le=1000)] = 4.5
    """Strength of classifier-free guidance when sampling; 1 is none."""
    size: Size | None = None
    """Height and width of the pictures that it makes, in pixels; the checkpoint's own square if not set."""

    def makes(self) -> frozenset[str]:
        """Images."""
        return frozenset({"image"})

    def tiny(self) -> StableDiffusionConfig:
        """The zoo's pipeline, which is one of diffusion."""
        plain = StableDiffusionConfig(checkpoint=self.checkpoint, steps=self.steps, guidance=self.guidance)
        return plain.tiny()

    def build(self, *, weights: bool = True) -> "Sana":
        """The frozen generator, with the checkpoint's weights or only its architecture.

        Raises:
            PartError: A part of the pipeline is missing, damaged, or does not fit the others.
        """
        shapes, made = self.condition_shapes(), self.text_config().hidden_size
        if made != shapes[TOKENS].width:
            raise PartError(
                f"{self.checkpoint}: the text encoder is {made} wide, the transformer reads {shapes[TOKENS].width}"
            )
        made = Sana(
            transformer=self.network("transformer", diffusers.SanaTransformer2DModel, weights=weights),
            vae=self.network("vae", diffusers.AutoencoderDC, weights=weights),
            text_encoder=self.text_encoder(weights=weights),
            tokenizer=self.tokenizer() if weights else None,
            instruction=self.instruction,
            solver=self.new_solver(),
            condition_shapes=shapes,
            times=self.times,
            shift=self.fixed_shift(),
            min_snr=self.min_snr,
            defaults=MediaOptions(steps=self.steps, guidance=self.guidance, size=self.size or self._side()),
        )
        return able(made, self.checkpoint)

    def condition_shapes(self) -> dict[str, ConditionShape]:
        """The text's tokens with their mask, read without the weights."""
        with hub.foreign(PartError, f"{self.checkpoint}: found no conditions in its settings"):
            return {TOKENS: ConditionShape(self.component("transformer")["caption_channels"], self.tokens, masked=True)}

    def preprocessor(self) -> TargetPreprocessor:
        """What an image goes through before `encode_media`."""
        return TargetPreprocessor(self._side())

    def _side(self) -> int:
        return self.own_side("transformer", "encoder_block_out_channels")


class Sana(FlowMatching, ReadsText):
    """The frozen networks of a pipeline, and what is done with them.

    Args:
        transformer: Predicts the velocity of latents.
        vae: Between images and latents.
        text_encoder: The conditions of captions.
        tokenizer: Of the text encoder; None for a bare architecture.
        instruction: Text before each caption.
        settings: See `FlowMatching`.
    """

    options = frozenset({"steps", "guidance", "size"})

    def __init__(
        self, *, transformer: Any, vae: Any, text_encoder: Any, tokenizer: Any, instruction: str, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.transformer, self.vae, self.text_encoder = transformer, vae, text_encoder
        self.tokenizer, self.instruction = tokenizer, instruction
        self.requires_grad_(False).eval()

    def encode_text(self, texts: list[str]) -> Conditions:
        """The pipeline's own conditions for captions; a caption that is too long is cut."""
        return self._encode([self.instruction + text for text in texts], self.instruction)

    def null_conditions(self, items: int) -> Conditions:
        """The conditions of the empty text, without the instruction."""
        return self._encode([""] * items, "")

    @torch.no_grad()
    def _encode(self, texts: list[str], instruction: str) -> Conditions:
        kept = self.condition_shapes[TOKENS].tokens
        assert kept is not None
        length = kept if not instruction else len(self.tokenizer.encode(instruction)) + kept - 2
        self.tokenizer.padding_side = "right"
        tokens = self.tokenizer(
            texts, padding="max_length", max_length=max(length, kept), truncation=True, return_tensors="pt"
        )
        device = self.transformer.device
        mask = tokens.attention_mask.to(device)
        states = self.text_encoder(tokens.input_ids.to(device), attention_mask=mask).last_hidden_state
        chosen = [0, *range(states.shape[1] - kept + 1, states.shape[1])]
        return Conditions({TOKENS: states[:, chosen]}, {TOKENS: mask[:, chosen].bool()})

    @torch.no_grad()
    def encode_media(self, media: Ragged) -> Float[Tensor, "i c y x"]:
        """The scaled latents of images in [-1, 1], each of one unit `[3 h w]`."""
        latents: Tensor = self.vae.encode(media.values.to(self.vae.dtype)).latent
        return latents.mul(self.vae.config.scaling_factor)

    @torch.no_grad()
    def decode_media(self, latents: Float[Tensor, "i c y x"]) -> Float[Tensor, "i 3 h w"]:
        """Images in about [-1, 1] from scaled latents."""
        return self._decoded(latents)

    def visible(self, latents: Float[Tensor, "i c y x"], asked: MediaOptions) -> Float[Tensor, "i 3 h w"]:
        """Images from 0 to 1, with gradients."""
        return seen(self._decoded(latents))

    def _decoded(self, latents: Float[Tensor, "i c y x"]) -> Float[Tensor, "i 3 h w"]:
        images: Tensor = self.vae.decode(latents.to(self.vae.dtype) / self.vae.config.scaling_factor).sample
        return images

    def latent_shape(self, asked: MediaOptions) -> tuple[int, int, int]:
        """Channels, height and width of an image's latents."""
        factor = 2 ** (len(self.vae.config.encoder_block_out_channels) - 1)
        return self.transformer.config.in_channels, *latent_size(asked.size, factor)

    def to_media(self, latents: Tensor, asked: MediaOptions, should_stop: ShouldStop | None) -> list[Image.Image]:
        """Images from scaled latents."""
        check_stop(should_stop, "before its pixels were made")
        return to_images(self.decode_media(latents))

    def predict(self, noisy: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        """The velocity of latents; what is learned of its spread is left out."""
        dtype = self.transformer.dtype
        velocity: Tensor = self.transformer(
            noisy.to(dtype),
            encoder_hidden_states=conditions[TOKENS].to(dtype),
            encoder_attention_mask=conditions.mask(TOKENS),
            timestep=times.expand(len(noisy)) * self.transformer.config.timestep_scale,
        ).sample
        return velocity[:, : noisy.shape[1]].float()

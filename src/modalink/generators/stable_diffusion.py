"""Stable Diffusion 1 and 2 and their kin: text tokens condition a UNet that restores image latents.

Source: Rombach et al., High-Resolution Image Synthesis with Latent Diffusion Models (arXiv 2112.10752); classifier-free
guidance: Ho and Salimans (arXiv 2207.12598). The networks are diffusers' and transformers'; the sampler is ours, so
that projected conditions need no text, and gives the numbers of diffusers' StableDiffusionPipeline.
"""

from typing import Annotated, Any, Literal

import diffusers
import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from jaxtyping import Float
from PIL import Image
from pydantic import Field
from torch import Tensor

from modalink import hub
from modalink.errors import PartError, shown
from modalink.generators._images import TargetPreprocessor, to_images
from modalink.generators._latent import LatentDiffusion, latent_size
from modalink.generators._pipelines import PipelineConfig
from modalink.ragged import Ragged
from modalink.roles import Conditions, ConditionShape, MediaOptions, ReadsText, ShouldStop, Size, check_stop

# On a CPU, plain attention trains up to 1.9 times faster than the fused one below this latent side (bfloat16), and is
# half as fast at 64 (measured on one thread).
_PLAIN_ATTENTION_SIDE = 32
TOKENS = "tokens"
"""Name of its one condition."""


class StableDiffusionConfig(PipelineConfig):
    """Settings of a Stable Diffusion generator; the checkpoint is a diffusers pipeline."""

    kind: Literal["stable_diffusion"] = "stable_diffusion"
    size: Size | None = None
    """Height and width of the pictures that it makes, in pixels; the checkpoint's own square if not set."""
    min_snr: float | None = Field(default=None, gt=0)
    """Min-SNR weighting of the denoising error (5 is usual); none if not set."""
    rescale: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of a prediction that is given the spread it has without guidance; 0.7 for models of zero terminal SNR."""

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
        shapes, made = self.condition_shapes(), self.text_config().hidden_size
        if made != shapes[TOKENS].width:
            raise PartError(
                f"{self.checkpoint}: the text encoder is {made} wide, the UNet reads {shapes[TOKENS].width}"
            )
        return StableDiffusion(
            unet=self.network("unet", diffusers.UNet2DConditionModel, weights=weights),
            vae=self.network("vae", diffusers.AutoencoderKL, weights=weights),
            text_encoder=self.text_encoder(weights=weights),
            tokenizer=self.tokenizer() if weights else None,
            solver=self.new_solver(),
            condition_shapes=shapes,
            min_snr=self.min_snr,
            rescale=self.rescale,
            defaults=MediaOptions(steps=self.steps, guidance=self.guidance, size=self.size or self._side()),
        )

    def condition_shapes(self) -> dict[str, ConditionShape]:
        """The text's tokens, read without the weights."""
        with hub.foreign(PartError, f"{self.checkpoint}: found no conditions in its settings"):
            tokens, width = self.text_config().max_position_embeddings, self.component("unet")["cross_attention_dim"]
            return {TOKENS: ConditionShape(width, tokens)}

    def preprocessor(self) -> TargetPreprocessor:
        """What an image goes through before `encode_media`."""
        return TargetPreprocessor(self._side())

    def _side(self) -> int:
        with hub.foreign(PartError, f"{self.checkpoint}: found no side of its images in its settings"):
            halvings = len(self.component("vae")["block_out_channels"]) - 1
            side = self.component("unet")["sample_size"] * 2**halvings
            if not 1 <= side <= hub.LARGEST_SIDE:
                raise PartError(
                    f"{self.checkpoint}: it makes images of {shown(side)} px, needed 1 to {hub.LARGEST_SIDE:,}"
                )
            return int(side)


class StableDiffusion(LatentDiffusion, ReadsText):
    """The frozen networks of a pipeline, and what is done with them.

    Args:
        unet: Predicts the noise in latents.
        vae: Between images and latents.
        text_encoder: The conditions of captions.
        tokenizer: Of the text encoder; None for a bare architecture.
        settings: See `LatentDiffusion`.
    """

    options = frozenset({"steps", "guidance", "size"})

    def __init__(self, *, unet: Any, vae: Any, text_encoder: Any, tokenizer: Any, **settings: Any) -> None:
        super().__init__(**settings)
        self.unet, self.vae, self.text_encoder = unet, vae, text_encoder
        self.tokenizer = tokenizer
        self._plain = False
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def encode_text(self, texts: list[str]) -> Conditions:
        """The pipeline's own conditions for captions; a caption that is too long is cut."""
        tokens = self.tokenizer(
            texts,
            padding="max_length",
            max_length=self.condition_shapes[TOKENS].tokens,
            truncation=True,
            split_special_tokens=True,  # what a caption spells out does not act
            return_tensors="pt",
        )
        masked = getattr(self.text_encoder.config, "use_attention_mask", False)
        states = self.text_encoder(
            tokens.input_ids.to(self.unet.device),
            attention_mask=tokens.attention_mask.to(self.unet.device) if masked else None,
        ).last_hidden_state
        return Conditions({TOKENS: states})

    def null_conditions(self, items: int) -> Conditions:
        """The conditions of the empty text."""
        return self.encode_text([""] * items)

    @torch.no_grad()
    def encode_media(self, media: Ragged) -> Float[Tensor, "i c y x"]:
        """The scaled latents of images in [-1, 1], each of one unit `[3 h w]`.

        The mode of the VAE's posterior and not a draw from it: latents are then a function of the image, which can be
        computed once and kept, and the posterior is far narrower than the least noise that is added to them.
        """
        latents: Tensor = self.vae.encode(media.values.to(self.vae.dtype)).latent_dist.mode()
        return latents.mul(self.vae.config.scaling_factor)

    def latent_shape(self, asked: MediaOptions) -> tuple[int, int, int]:
        """Channels, height and width of an image's latents."""
        factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        return self.unet.config.in_channels, *latent_size(asked.size, factor)

    def to_media(self, latents: Tensor, asked: MediaOptions, should_stop: ShouldStop | None) -> list[Image.Image]:
        """Images from scaled latents."""
        check_stop(should_stop, "before its pixels were made")
        return to_images(self.decode_media(latents))

    @torch.no_grad()
    def decode_media(self, latents: Float[Tensor, "i c y x"]) -> Float[Tensor, "i 3 h w"]:
        """Images in [-1, 1] from scaled latents."""
        images: Tensor = self.vae.decode(latents.to(self.vae.dtype) / self.vae.config.scaling_factor).sample
        return images

    def predict(self, noisy: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        """What the UNet predicts: noise, or what else its schedule says."""
        plain = noisy.device.type == "cpu" and noisy.shape[-1] <= _PLAIN_ATTENTION_SIDE
        if plain != self._plain:
            self.unet.set_attn_processor(AttnProcessor() if plain else AttnProcessor2_0())
            self._plain = plain
        dtype = self.unet.dtype
        prediction: Tensor = self.unet(noisy.to(dtype), times, conditions[TOKENS].to(dtype)).sample
        return prediction

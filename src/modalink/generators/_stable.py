"""What Stable Diffusion and those that were made of it share: a UNet, CLIP's text states, a VAE of pictures.

Source: Rombach et al., High-Resolution Image Synthesis with Latent Diffusion Models (arXiv 2112.10752). The networks
are diffusers' and transformers'; the sampler is ours, so that projected conditions need no text.
"""

from typing import Annotated, Any, ClassVar

import diffusers
import torch
from pydantic import Field
from torch import Tensor

from modalink import hub
from modalink.errors import PartError
from modalink.generators._images import TargetPreprocessor
from modalink.generators._latent import LatentDiffusion, latent_size
from modalink.generators._pipelines import PipelineConfig
from modalink.roles import Conditions, ConditionShape, MediaOptions, Size

TOKENS = "tokens"
"""Name of the condition of text tokens."""


class StableConfig(PipelineConfig):
    """Settings that they share; the checkpoint is a diffusers pipeline."""

    denoiser: ClassVar[str | None] = "unet"

    size: Size | None = None
    """Height and width of what it makes, in pixels; the checkpoint's own square if not set."""
    min_snr: float | None = Field(default=None, gt=0)
    """Min-SNR weighting of the denoising error (5 is usual); none if not set."""
    rescale: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of a prediction that is given the spread it has without guidance; 0.7 for models of zero terminal SNR."""

    def condition_shapes(self) -> dict[str, ConditionShape]:
        """The text's tokens, read without the weights."""
        with hub.foreign(PartError, f"{self.checkpoint}: found no conditions in its settings"):
            tokens, width = self.text_config().max_position_embeddings, self.component("unet")["cross_attention_dim"]
            return {TOKENS: ConditionShape(width, tokens)}

    def preprocessor(self) -> Any:
        """What an image goes through before `encode_media`."""
        return TargetPreprocessor(self.side())

    def side(self) -> int:
        """Side of the checkpoint's own pictures in pixels."""
        return self.own_side("unet")

    def check_widths(self) -> None:
        """Demand that the text encoder makes what the UNet reads.

        Raises:
            PartError: It does not.
        """
        made, width = self.text_config().hidden_size, self.condition_shapes()[TOKENS].width
        if made != width:
            raise PartError(f"{self.checkpoint}: the text encoder is {made} wide, the UNet reads {width}")

    def shared(self, weights: bool, **defaults: Any) -> dict[str, Any]:
        """What generators of the family are built of, but for the UNet.

        Args:
            weights: Whether the networks have the checkpoint's weights.
            defaults: What is made where a call does not say, beside steps, guidance and size.
        """
        said = MediaOptions(steps=self.steps, guidance=self.guidance, size=self.size or self.side(), **defaults)
        return {
            "vae": self.network("vae", diffusers.AutoencoderKL, weights=weights),
            "text_encoder": self.text_encoder(weights=weights),
            "tokenizer": self.tokenizer() if weights else None,
            "solver": self.new_solver(),
            "condition_shapes": self.condition_shapes(),
            "min_snr": self.min_snr,
            "rescale": self.rescale,
            "defaults": said,
        }


class Stable(LatentDiffusion):
    """The frozen networks of a pipeline, and what is done with them; those that read words also `ReadsText`.

    Args:
        unet: Predicts the noise in latents.
        vae: Between pictures and latents.
        text_encoder: The conditions of captions.
        tokenizer: Of the text encoder; None for a bare architecture.
        settings: See `LatentDiffusion`.
    """

    options = frozenset({"steps", "guidance", "size"})

    def __init__(self, *, unet: Any, vae: Any, text_encoder: Any, tokenizer: Any, **settings: Any) -> None:
        super().__init__(**settings)
        self.unet, self.vae, self.text_encoder = unet, vae, text_encoder
        self.tokenizer = tokenizer
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def encode_text(self, texts: list[str]) -> Conditions:
        """The pipeline's own conditions for captions; a caption that is too long is cut."""
        tokens = read_captions(self.tokenizer, texts, self.text_encoder.config.max_position_embeddings)
        masked = getattr(self.text_encoder.config, "use_attention_mask", False)
        states = self.text_encoder(
            tokens.input_ids.to(self.unet.device),
            attention_mask=tokens.attention_mask.to(self.unet.device) if masked else None,
        ).last_hidden_state
        return Conditions({TOKENS: states})

    def null_conditions(self, items: int) -> Conditions:
        """The conditions of the empty text."""
        return self.encode_text([""] * items)

    def latent_grid(self, asked: MediaOptions, frames: int = 1) -> tuple[int, int]:
        """Height and width of the latents of a picture, or of each of some frames."""
        return latent_size(asked.size, 2 ** (len(self.vae.config.block_out_channels) - 1), frames)

    def predict(self, noisy: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        """What the UNet predicts: noise, or what else its schedule says."""
        dtype = self.unet.dtype
        tokens, further = conditions[TOKENS].to(dtype), self.further(noisy, conditions)
        prediction: Tensor = self.unet(noisy.to(dtype), times, tokens, **further).sample
        return prediction

    def further(self, noisy: Tensor, conditions: Conditions) -> dict[str, Any]:
        """What else the UNet reads, by the names of its arguments."""
        return {}


def read_captions(tokenizer: Any, texts: list[str], length: int | None) -> Any:
    """Captions as token ids and masks, each padded and cut to one length."""
    return tokenizer(
        texts,
        padding="max_length",
        max_length=length,
        truncation=True,
        split_special_tokens=True,  # what a caption spells out does not act
        return_tensors="pt",
    )

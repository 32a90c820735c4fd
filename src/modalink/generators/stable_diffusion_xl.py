"""Stable Diffusion XL: the tokens of two text encoders, and a pooled vector, condition a larger UNet.

Source: Podell et al., SDXL (arXiv 2307.01952). It reads sizes, too: those of the original, of its crop and of what is
made. A picture is asked for whole and in its own size, as diffusers' StableDiffusionXLPipeline does by default, whose
numbers these are.
"""

from typing import Any, Literal

import diffusers
import torch
from torch import Tensor
from transformers import CLIPTextModelWithProjection

from modalink import hub
from modalink.errors import PartError
from modalink.generators._latent import able
from modalink.generators._stable import TOKENS, StableConfig, read_captions
from modalink.generators._stable_images import StableImages
from modalink.generators.stable_diffusion import StableDiffusionConfig
from modalink.roles import Conditions, ConditionShape, ReadsText

POOLED = "pooled"
"""Name of the condition of the whole text."""


class StableDiffusionXlConfig(StableConfig):
    """Settings of a Stable Diffusion XL generator; the checkpoint is a diffusers pipeline."""

    kind: Literal["stable_diffusion_xl"] = "stable_diffusion_xl"
    nothing: Literal["zeros", "empty_text"] = "zeros"
    """What guidance steers away from by default: zeros as in the base checkpoint, or the conditions of no words."""

    def makes(self) -> frozenset[str]:
        """Images."""
        return frozenset({"image"})

    def tiny(self) -> StableDiffusionConfig:
        """The zoo's pipeline, which has no pooled condition."""
        plain = StableDiffusionConfig(checkpoint=self.checkpoint, steps=self.steps, guidance=self.guidance)
        return plain.tiny()

    def build(self, *, weights: bool = True) -> "StableDiffusionXl":
        """The frozen generator, with the checkpoint's weights or only its architecture.

        Raises:
            PartError: A part of the pipeline is missing, damaged, or does not fit the others.
        """
        self.check_widths()
        made = StableDiffusionXl(
            unet=self.network("unet", diffusers.UNet2DConditionModel, weights=weights),
            second=self.text_encoder("text_encoder_2", CLIPTextModelWithProjection, weights=weights),
            second_tokenizer=self.tokenizer("tokenizer_2") if weights else None,
            zeros=self.nothing == "zeros",
            **self.shared(weights),
        )
        return able(made, self.checkpoint)

    def condition_shapes(self) -> dict[str, ConditionShape]:
        """The tokens of both texts side by side and the pooled vector of the second, read without the weights."""
        pooled = self.text_config("text_encoder_2")
        with hub.foreign(PartError, f"{self.checkpoint}: found no conditions in its settings"):
            return {**super().condition_shapes(), POOLED: ConditionShape(pooled.projection_dim)}

    def check_widths(self) -> None:
        """Demand that the text encoders make what the UNet reads."""
        first, second, shapes = self.text_config(), self.text_config("text_encoder_2"), self.condition_shapes()
        unet = self.component("unet")
        ids = unet.get("addition_time_embed_dim")
        read = (shapes[TOKENS].width, unet.get("projection_class_embeddings_input_dim"))
        made = (first.hidden_size + second.hidden_size, second.projection_dim + 6 * (ids or 0))
        if unet.get("addition_embed_type") != "text_time" or read != made:
            raise PartError(
                f"{self.checkpoint}: its text encoders make tokens and a pooled vector with sizes of the widths "
                f"{made}, the UNet reads {read}; needed a pipeline of Stable Diffusion XL"
            )


class StableDiffusionXl(StableImages, ReadsText):
    """Images from text tokens, a pooled vector and sizes.

    Args:
        second: The second text encoder, which has a projection.
        second_tokenizer: Its tokenizer; None for a bare architecture.
        zeros: Whether null conditions are zeros.
        settings: See `Stable`.
    """

    def __init__(self, *, second: Any, second_tokenizer: Any, zeros: bool, **settings: Any) -> None:
        super().__init__(**settings)
        self.second, self.second_tokenizer, self.zeros = second, second_tokenizer, zeros
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def encode_text(self, texts: list[str]) -> Conditions:
        """The pipeline's own conditions for captions; a caption that is too long is cut."""
        length, found, pooled = self.condition_shapes[TOKENS].tokens, [], None
        for tokenizer, encoder in ((self.tokenizer, self.text_encoder), (self.second_tokenizer, self.second)):
            ids = read_captions(tokenizer, texts, length).input_ids.to(self.unet.device)
            made = encoder(ids, output_hidden_states=True)
            found.append(made.hidden_states[-2])
            pooled = getattr(made, "text_embeds", pooled)
        assert pooled is not None
        return Conditions({TOKENS: torch.cat(found, -1), POOLED: pooled})

    def null_conditions(self, items: int) -> Conditions:
        """Zeros, or the conditions of the empty text."""
        if not self.zeros:
            return super().null_conditions(items)
        weight = self.unet.conv_in.weight
        shapes = self.condition_shapes
        return Conditions({name: weight.new_zeros(items, *shape.item) for name, shape in shapes.items()})

    def further(self, noisy: Tensor, conditions: Conditions) -> dict[str, Any]:
        """The pooled vector, and the sizes of a whole picture that is as large as what is made."""
        dtype, factor = self.unet.dtype, 2 ** (len(self.vae.config.block_out_channels) - 1)
        height, width = (factor * side for side in noisy.shape[-2:])
        sizes = torch.tensor([height, width, 0, 0, height, width], device=noisy.device, dtype=dtype)
        return {
            "added_cond_kwargs": {
                "text_embeds": conditions[POOLED].to(dtype),
                "time_ids": sizes.expand(len(noisy), 6),
            }
        }

"""AudioLDM: CLAP's vector of a text conditions a UNet that restores latents of a mel spectrogram.

Source: Liu et al., AudioLDM (arXiv 2301.12503). The networks are diffusers' and transformers'; the sampler is ours and
gives the numbers of diffusers' AudioLDMPipeline, which diffusers no longer maintains.
"""

from typing import Any, Literal

import diffusers
import torch
from torch import Tensor
from transformers import ClapTextModelWithProjection

from modalink import hub
from modalink.errors import PartError
from modalink.generators._mel_diffusion import MelDiffusion, MelPipelineConfig
from modalink.roles import Conditions, ConditionShape, Guidance, ReadsText

POOLED = "pooled"
"""Name of its one condition."""


class AudioLdmConfig(MelPipelineConfig):
    """Settings of an AudioLDM; the checkpoint is a diffusers pipeline."""

    kind: Literal["audioldm"] = "audioldm"
    guidance: Guidance = 2.5
    """Strength of classifier-free guidance when sampling; 1 is none."""

    def build(self, *, weights: bool = True) -> "AudioLdm":
        """The frozen generator, with the checkpoint's weights or only its architecture.

        Raises:
            PartError: A part of the pipeline is missing, damaged, or does not fit the others.
        """
        shapes, made = self.condition_shapes(), self.component("text_encoder").get("projection_dim", 512)
        if made != shapes[POOLED].width:
            raise PartError(f"{self.checkpoint}: CLAP makes vectors of {made}, the UNet reads {shapes[POOLED].width}")
        return AudioLdm(
            unet=self.network("unet", diffusers.UNet2DConditionModel, weights=weights),
            text_encoder=self.own("text_encoder", ClapTextModelWithProjection, weights=weights),
            tokenizer=self.tokenizer() if weights else None,
            **self.both_ways(weights=weights),
            **self.sampling(),
        )

    def condition_shapes(self) -> dict[str, ConditionShape]:
        """CLAP's vector of length 1, read without the weights."""
        with hub.foreign(PartError, f"{self.checkpoint}: found no condition in its settings"):
            width = self.component("unet")["projection_class_embeddings_input_dim"]
            return {POOLED: ConditionShape(width, norm="l2")}


class AudioLdm(MelDiffusion, ReadsText):
    """The frozen networks of a pipeline, and what is done with them.

    Args:
        unet: Predicts the noise in latents.
        text_encoder: CLAP's tower of texts.
        tokenizer: Of the text encoder; None for a bare architecture.
        settings: See `MelDiffusion`.
    """

    def __init__(self, *, unet: Any, text_encoder: Any, tokenizer: Any, **settings: Any) -> None:
        super().__init__(**settings)
        self.unet, self.text_encoder, self.tokenizer = unet, text_encoder, tokenizer
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def encode_text(self, texts: list[str]) -> Conditions:
        """The pipeline's own condition for captions; a caption that is too long is cut."""
        tokens = self.tokenizer(
            texts,
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            split_special_tokens=True,  # what a caption spells out does not act
            return_tensors="pt",
        ).to(self.text_encoder.device)
        found = self.text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask).text_embeds
        return Conditions({POOLED: self.condition_shapes[POOLED].normalised(found)})

    def null_conditions(self, items: int) -> Conditions:
        """The condition of the empty text."""
        return self.encode_text([""] * items)

    def predict(self, noisy: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        """What the UNet predicts; it reads vectors of length 1."""
        dtype = self.unet.dtype
        vectors = self.condition_shapes[POOLED].normalised(conditions[POOLED].float())
        prediction: Tensor = self.unet(
            noisy.to(dtype), times, encoder_hidden_states=None, class_labels=vectors.to(dtype)
        ).sample
        return prediction

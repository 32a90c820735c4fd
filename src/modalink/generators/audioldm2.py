"""AudioLDM 2: eight states of GPT-2 and those of T5 condition a UNet that restores latents of a mel spectrogram.

Source: Liu et al., AudioLDM 2 (arXiv 2308.05734). GPT-2 rolls its eight states out behind what CLAP and T5 say of a
text; both are conditions, so that projectors make both. The networks are diffusers' and transformers'; the sampler is
ours and gives the numbers of diffusers' AudioLDM2Pipeline.
"""

from typing import Any, Literal

import torch
from diffusers import AudioLDM2ProjectionModel, AudioLDM2UNet2DConditionModel
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from transformers import AutoTokenizer, ClapModel, GPT2Model, T5EncoderModel

from modalink import hub
from modalink.errors import PartError
from modalink.generators._mel_diffusion import MelDiffusion, MelPipelineConfig
from modalink.kinds import Count
from modalink.roles import Conditions, ConditionShape, Guidance, ReadsText

GENERATED, TOKENS = "generated", "tokens"
"""Names of its conditions."""
_ROLLED = 8
"""States of GPT-2, where the checkpoint does not say."""


class AudioLdm2Config(MelPipelineConfig):
    """Settings of an AudioLDM 2 for sounds or music; the checkpoint is a diffusers pipeline."""

    kind: Literal["audioldm2"] = "audioldm2"
    guidance: Guidance = 3.5
    """Strength of classifier-free guidance when sampling; 1 is none."""
    text_tokens: Count = 64
    """Most tokens of T5; the text of a longer caption is cut, and a projector makes as many."""

    def build(self, *, weights: bool = True) -> "AudioLdm2":
        """The frozen generator, with the checkpoint's weights or only its architecture.

        Raises:
            PartError: A part of the pipeline is missing, damaged, or does not fit the others.
        """
        return AudioLdm2(
            unet=self.network("unet", AudioLDM2UNet2DConditionModel, weights=weights),
            clap=self.own("text_encoder", ClapModel, weights=weights),
            t5=self.own("text_encoder_2", T5EncoderModel, weights=weights),
            projection=self.network("projection_model", AudioLDM2ProjectionModel, weights=weights),
            gpt2=self.own("language_model", GPT2Model, weights=weights),
            tokenizers=[self._tokenizer(name) for name in ("tokenizer", "tokenizer_2")] if weights else [],
            **self.both_ways(weights=weights),
            **self.sampling(),
        )

    def condition_shapes(self) -> dict[str, ConditionShape]:
        """GPT-2's states and T5's, read without the weights."""
        with hub.foreign(PartError, f"{self.checkpoint}: found no conditions in its settings"):
            gpt2, t5 = self.component("language_model")["n_embd"], self.component("text_encoder_2")["d_model"]
            read = [width for width in _flat(self.component("unet")["cross_attention_dim"]) if width is not None]
            if {*read} != {gpt2, t5}:
                raise PartError(f"{self.checkpoint}: GPT-2 is {gpt2}, T5 {t5} wide, the UNet reads {sorted({*read})}")
            rolled = int(self.component("language_model").get("max_new_tokens") or _ROLLED)
            return {GENERATED: ConditionShape(gpt2, rolled), TOKENS: ConditionShape(t5, self.text_tokens, masked=True)}

    def _tokenizer(self, name: str) -> Any:
        return hub.read(AutoTokenizer, hub.locate(self.checkpoint, self.revision, weights=False) / name)


def _flat(widths: Any) -> list[Any]:
    return [one for width in widths for one in _flat(width)] if isinstance(widths, list | tuple) else [widths]


class AudioLdm2(MelDiffusion, ReadsText):
    """The frozen networks of a pipeline, and what is done with them.

    Args:
        unet: Predicts the noise in latents.
        clap: Whole CLAP, for its vector of a text.
        t5: T5's encoder.
        projection: Brings both to GPT-2's width, between learned beginnings and ends.
        gpt2: Rolls out its states.
        tokenizers: CLAP's and T5's; none for a bare architecture.
        settings: See `MelDiffusion`.
    """

    def __init__(
        self, *, unet: Any, clap: Any, t5: Any, projection: Any, gpt2: Any, tokenizers: list[Any], **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.unet, self.clap, self.t5, self.projection, self.gpt2 = unet, clap, t5, projection, gpt2
        self.tokenizers = tokenizers
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def encode_text(self, texts: list[str]) -> Conditions:
        """The pipeline's own conditions for captions, each as it is alone: filling would move GPT-2's positions."""
        return Conditions.cat([self._encoded(text) for text in texts])

    def null_conditions(self, items: int) -> Conditions:
        """The conditions of the empty text."""
        return self.encode_text([""]).take([0] * items)

    def predict(self, noisy: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        """What the UNet predicts."""
        dtype = self.unet.dtype
        prediction: Tensor = self.unet(
            noisy.to(dtype),
            times,
            encoder_hidden_states=conditions[GENERATED].to(dtype),
            encoder_hidden_states_1=conditions[TOKENS].to(dtype),
            encoder_attention_mask_1=conditions.mask(TOKENS),
        ).sample
        return prediction

    def _encoded(self, text: str) -> Conditions:
        most, device = self.condition_shapes[TOKENS].tokens or 1, self.t5.device
        options = {"truncation": True, "split_special_tokens": True, "return_tensors": "pt"}
        spoken, read = self.tokenizers
        heard = spoken(text, padding="max_length", max_length=spoken.model_max_length, **options).to(device)
        vector = self.clap.get_text_features(heard.input_ids, attention_mask=heard.attention_mask).pooler_output
        ids = read(text, max_length=most, **options).input_ids.to(device)
        states = self.t5(ids).last_hidden_state
        rolled = self._rolled(vector[:, None], states)
        there = torch.arange(most, device=device)[None] < ids.shape[1]
        filled = functional.pad(states, (0, 0, 0, most - ids.shape[1]))
        return Conditions({GENERATED: rolled, TOKENS: filled}, {TOKENS: there})

    def _rolled(self, vector: Float[Tensor, "1 1 d"], states: Float[Tensor, "1 n d2"]) -> Float[Tensor, "1 r d3"]:
        """GPT-2's states behind what CLAP and T5 say."""
        whole: list[Int[Tensor, "1 n"]] = [x.new_ones(x.shape[:2], dtype=torch.long) for x in (vector, states)]
        embeds = self.projection(
            hidden_states=vector, hidden_states_1=states, attention_mask=whole[0], attention_mask_1=whole[1]
        ).hidden_states
        count = self.condition_shapes[GENERATED].tokens or 1
        for _ in range(count):
            following = self.gpt2(inputs_embeds=embeds, use_cache=False).last_hidden_state[:, -1:]
            embeds = torch.cat([embeds, following], 1)
        return embeds[:, -count:]

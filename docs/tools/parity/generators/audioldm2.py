"""AudioLDM 2: diffusers' `AudioLDM2Pipeline`, given the same conditions, masks and noise, up to the samples."""

from collections.abc import Iterator
from pathlib import Path

import diffusers
import torch
from torch import Tensor
from transformers import AutoTokenizer, ClapModel, GPT2LMHeadModel, SpeechT5HifiGan, T5EncoderModel

from modalink.generators.audioldm2 import AudioLdm2Config
from modalink.roles import Conditions
from modalink.testing.sound_pipelines import tiny_audioldm2

TOLERANCE = 1e-5
PARTS = {
    "vae": diffusers.AutoencoderKL,
    "unet": diffusers.AudioLDM2UNet2DConditionModel,
    "text_encoder": ClapModel,
    "text_encoder_2": T5EncoderModel,
    "projection_model": diffusers.AudioLDM2ProjectionModel,
    "language_model": GPT2LMHeadModel,
    "tokenizer": AutoTokenizer,
    "tokenizer_2": AutoTokenizer,
    "vocoder": SpeechT5HifiGan,
    "scheduler": diffusers.DDIMScheduler,
}


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Two sounds under guidance, T5's states of two lengths."""
    place = tiny_audioldm2(folder)
    parts = {name: kind.from_pretrained(place / name) for name, kind in PARTS.items()}
    pipeline = diffusers.AudioLDM2Pipeline(**parts, feature_extractor=None)
    pipeline.set_progress_bar_config(disable=True)
    there = torch.arange(6) < torch.tensor([[6], [4]])
    asked, away = (
        Conditions({"generated": torch.randn(2, 8, 12), "tokens": torch.randn(2, 6, 24)}, {"tokens": there})
        for _ in range(2)
    )
    expected = pipeline(
        prompt_embeds=asked["tokens"],
        attention_mask=there.long(),
        generated_prompt_embeds=asked["generated"],
        negative_prompt_embeds=away["tokens"],
        negative_attention_mask=there.long(),
        negative_generated_prompt_embeds=away["generated"],
        num_inference_steps=4,
        guidance_scale=3.5,
        audio_length_in_s=0.00475,
        generator=[torch.Generator().manual_seed(seed) for seed in (5, 6)],
    ).audios
    found = (
        AudioLdm2Config(checkpoint=str(place), text_tokens=6)
        .build()
        .sample(
            asked,
            negative=away,
            rng=[torch.Generator().manual_seed(seed) for seed in (5, 6)],
            steps=4,
            guidance=3.5,
            seconds=0.00475,
        )
    )
    waves = torch.stack([torch.from_numpy(sound.values) for sound in found])
    yield "diffusers' `AudioLDM2Pipeline`, DDIM", waves, torch.from_numpy(expected).clamp(-1, 1)

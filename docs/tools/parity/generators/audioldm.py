"""AudioLDM: diffusers' `AudioLDMPipeline`, given the same conditions and the same noise, up to the samples."""

from collections.abc import Iterator
from pathlib import Path

import diffusers
import torch
from torch import Tensor
from transformers import AutoTokenizer, ClapTextModelWithProjection, SpeechT5HifiGan

from modalink.generators.audioldm import AudioLdmConfig
from modalink.roles import Conditions
from modalink.testing.sound_pipelines import tiny_audioldm

TOLERANCE = 1e-5
PARTS = {
    "vae": diffusers.AutoencoderKL,
    "unet": diffusers.UNet2DConditionModel,
    "text_encoder": ClapTextModelWithProjection,
    "tokenizer": AutoTokenizer,
    "vocoder": SpeechT5HifiGan,
    "scheduler": diffusers.DDIMScheduler,
}


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Two sounds under guidance, of a length that is no multiple of the VAE's."""
    place = tiny_audioldm(folder)
    pipeline = diffusers.AudioLDMPipeline(**{name: kind.from_pretrained(place / name) for name, kind in PARTS.items()})
    pipeline.set_progress_bar_config(disable=True)
    asked, away = (torch.nn.functional.normalize(torch.randn(2, 16), dim=-1) for _ in range(2))
    expected = pipeline(
        prompt_embeds=asked,
        negative_prompt_embeds=away,
        num_inference_steps=4,
        guidance_scale=2.5,
        audio_length_in_s=0.00475,
        generator=[torch.Generator().manual_seed(seed) for seed in (5, 6)],
    ).audios
    found = (
        AudioLdmConfig(checkpoint=str(place))
        .build()
        .sample(
            Conditions({"pooled": asked}),
            negative=Conditions({"pooled": away}),
            rng=[torch.Generator().manual_seed(seed) for seed in (5, 6)],
            steps=4,
            guidance=2.5,
            seconds=0.00475,
        )
    )
    waves = torch.stack([torch.from_numpy(sound.values) for sound in found])
    yield "diffusers' `AudioLDMPipeline`, DDIM", waves, torch.from_numpy(expected).clamp(-1, 1)

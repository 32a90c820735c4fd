"""Stable Audio: diffusers' `StableAudioPipeline`, given the same conditions, masks, seconds and noise, in float64."""

from collections.abc import Iterator
from pathlib import Path

import diffusers
import torch
from torch import Tensor
from transformers import AutoTokenizer, T5EncoderModel

from modalink.generators.stable_audio import StableAudioConfig
from modalink.roles import Conditions
from modalink.testing.sound_pipelines import tiny_stable_audio

TOLERANCE = 1e-5  # sounds are float32
PARTS = {
    "vae": diffusers.AutoencoderOobleck,
    "transformer": diffusers.StableAudioDiTModel,
    "projection_model": diffusers.StableAudioProjectionModel,
    "text_encoder": T5EncoderModel,
}


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Two sounds of two channels, steered away from words and from nothing."""
    place = tiny_stable_audio(folder)
    parts = {name: kind.from_pretrained(place / name, torch_dtype=torch.float64) for name, kind in PARTS.items()}
    pipeline = diffusers.StableAudioPipeline(
        **parts,
        tokenizer=AutoTokenizer.from_pretrained(place / "tokenizer"),
        scheduler=diffusers.EDMDPMSolverMultistepScheduler.from_pretrained(place / "scheduler"),
    )
    pipeline.set_progress_bar_config(disable=True)
    ours = StableAudioConfig(checkpoint=str(place), text_tokens=6, dtype="float64").build()
    there = torch.arange(6) < torch.tensor([[6], [4]])
    asked, away = (
        Conditions({"tokens": torch.randn(2, 6, 24, dtype=torch.float64)}, {"tokens": there}) for _ in range(2)
    )
    for negative in (away, None):
        given = {"prompt_embeds": asked["tokens"], "attention_mask": there.long()}
        if negative is not None:
            given |= {"negative_prompt_embeds": away["tokens"], "negative_attention_mask": there.long()}
        expected = pipeline(
            **given,
            num_inference_steps=4,
            guidance_scale=7.0,
            audio_end_in_s=0.00475,
            generator=[torch.Generator().manual_seed(seed) for seed in (5, 6)],
        ).audios
        found = ours.sample(
            asked,
            negative=negative,
            rng=[torch.Generator().manual_seed(seed) for seed in (5, 6)],
            steps=4,
            guidance=7.0,
            seconds=0.00475,
        )
        waves = torch.stack([torch.from_numpy(sound.values).T for sound in found])
        steered = "no condition" if negative is None else "a negative condition"
        yield f"diffusers' `StableAudioPipeline`, EDM, {steered}", waves, expected.clamp(-1, 1).float()

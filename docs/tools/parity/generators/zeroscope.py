"""Zeroscope: diffusers' `TextToVideoSDPipeline`, deprecated but importable, given the same conditions and noise."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.pipelines.deprecated.text_to_video_synthesis import TextToVideoSDPipeline
from torch import Tensor

from modalink.generators.zeroscope import ZeroscopeConfig
from modalink.roles import Conditions
from modalink.testing.pipelines import tiny_zeroscope

TOLERANCE = 2e-5
"""The pipeline keeps frames before channels between two steps, which other kernels of convolution read."""
NOISE: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Two clips of three frames, as latents, under guidance."""
    for name, solver in {
        "DDIM": None,
        "DPM-Solver++": diffusers.DPMSolverMultistepScheduler(**NOISE, steps_offset=1),
    }.items():
        place = tiny_zeroscope(folder / name, scheduler=solver)
        ours = ZeroscopeConfig(checkpoint=str(place), frames=3).build()
        pipeline = TextToVideoSDPipeline.from_pretrained(place)
        pipeline.set_progress_bar_config(disable=True)
        tokens, away = torch.randn(2, 16, 32), torch.randn(2, 16, 32)
        given = {"prompt_embeds": tokens, "negative_prompt_embeds": away, "num_inference_steps": 4}
        given |= {"guidance_scale": 9.0, "height": 48, "width": 32, "num_frames": 3}
        asked = {"negative": Conditions({"tokens": away}), "steps": 4, "guidance": 9.0, "size": (48, 32), "frames": 3}
        conditions, sources = Conditions({"tokens": tokens}), (_sources() for _ in range(2))
        expected = pipeline(**given, generator=next(sources), output_type="latent").frames
        found = ours.sample_latents(conditions, rng=next(sources), **asked)
        yield f"diffusers' `TextToVideoSDPipeline`, {name}", found, expected


def _sources() -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in (5, 6)]

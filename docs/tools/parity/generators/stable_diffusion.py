"""Stable Diffusion: diffusers' `StableDiffusionPipeline`, given the same conditions and the same noise."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor

from modalink.generators.stable_diffusion import StableDiffusionConfig
from modalink.roles import Conditions
from modalink.testing.checkpoints import tiny_stable_diffusion

TOLERANCE = 1e-5
NOISE: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
ZERO: dict[str, Any] = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "clip_sample": False}
SOLVERS = {
    "PNDM": diffusers.PNDMScheduler(**NOISE, skip_prk_steps=True),
    "DPM-Solver++": diffusers.DPMSolverMultistepScheduler(**NOISE),
    "Euler with drawn noise": diffusers.EulerAncestralDiscreteScheduler(**NOISE),
    "DDIM, v-prediction, zero terminal SNR": diffusers.DDIMScheduler(**NOISE, **ZERO, prediction_type="v_prediction"),
}


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Two images of each solver, as latents, under guidance and away from words of their own."""
    for name, solver in SOLVERS.items():
        place = tiny_stable_diffusion(folder / name, scheduler=solver)
        rescale = 0.7 if "zero" in name else 0.0
        ours = StableDiffusionConfig(checkpoint=str(place), rescale=rescale).build()
        pipeline = diffusers.StableDiffusionPipeline.from_pretrained(place)
        pipeline.set_progress_bar_config(disable=True)
        pipeline.unet.set_attn_processor(AttnProcessor())  # ours, on a CPU at this size
        tokens, away = torch.randn(2, 16, 32), torch.randn(2, 16, 32)
        expected = pipeline(
            prompt_embeds=tokens,
            negative_prompt_embeds=away,
            num_inference_steps=4,
            guidance_scale=3.0,
            guidance_rescale=rescale,
            height=48,
            width=32,
            output_type="latent",
            generator=[torch.Generator().manual_seed(seed) for seed in (5, 6)],
        ).images
        found = ours.sample_latents(
            Conditions({"tokens": tokens}),
            negative=Conditions({"tokens": away}),
            rng=[torch.Generator().manual_seed(seed) for seed in (5, 6)],
            steps=4,
            guidance=3.0,
            size=(48, 32),
        )
        yield f"diffusers' `StableDiffusionPipeline`, {name}", found, expected

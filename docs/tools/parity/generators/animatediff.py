"""AnimateDiff: diffusers' `AnimateDiffPipeline`, given the same conditions and the same noise."""

from collections.abc import Iterator
from pathlib import Path

import diffusers
import torch
from torch import Tensor

from modalink.generators.animatediff import AnimateDiffConfig
from modalink.roles import Conditions
from modalink.testing.checkpoints import tiny_stable_diffusion
from modalink.testing.pipelines import tiny_motion_adapter

TOLERANCE = 1e-5


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Two clips of three frames, as latents, under guidance, by the scheduler that AnimateDiff's page names."""
    place, motion = tiny_stable_diffusion(folder / "pipeline"), tiny_motion_adapter(folder / "motion")
    ours = AnimateDiffConfig(checkpoint=str(place), motion=str(motion), frames=3).build()
    scheduler = diffusers.DDIMScheduler.from_pretrained(
        place,
        subfolder="scheduler",
        clip_sample=False,
        timestep_spacing="linspace",
        beta_schedule="linear",
        steps_offset=1,
    )
    pipeline = diffusers.AnimateDiffPipeline.from_pretrained(
        place, motion_adapter=diffusers.MotionAdapter.from_pretrained(motion), scheduler=scheduler
    )
    pipeline.set_progress_bar_config(disable=True)
    tokens, away = torch.randn(2, 16, 32), torch.randn(2, 16, 32)
    expected = pipeline(
        prompt_embeds=tokens,
        negative_prompt_embeds=away,
        num_inference_steps=4,
        guidance_scale=7.5,
        height=48,
        width=32,
        num_frames=3,
        output_type="latent",
        generator=[torch.Generator().manual_seed(seed) for seed in (5, 6)],
    ).frames
    found = ours.sample_latents(
        Conditions({"tokens": tokens}),
        negative=Conditions({"tokens": away}),
        rng=[torch.Generator().manual_seed(seed) for seed in (5, 6)],
        steps=4,
        guidance=7.5,
        size=(48, 32),
        frames=3,
    )
    yield "diffusers' `AnimateDiffPipeline`, DDIM", found, expected

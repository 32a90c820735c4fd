"""Latte: diffusers' `LattePipeline`, given the same words and noise, one clip at a time as it reads them then."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import Tensor
from transformers import AutoTokenizer, T5EncoderModel

from modalink.generators.latte import LatteConfig
from modalink.testing.clip_pipelines import tiny_latte

TOLERANCE = 1e-5
PARTS: dict[str, Any] = {
    "vae": diffusers.AutoencoderKL,
    "transformer": diffusers.LatteTransformer3DModel,
    "text_encoder": T5EncoderModel,
}
CAPTIONS = ["a red cube", "two blue circles and a star"]


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Two clips, as latents, steered away from other words and from none; a learned spread is left out."""
    place = tiny_latte(folder)
    parts = {name: kind.from_pretrained(place / name) for name, kind in PARTS.items()}
    pipeline = diffusers.LattePipeline(
        **parts,
        tokenizer=AutoTokenizer.from_pretrained(place / "tokenizer"),
        scheduler=diffusers.DDIMScheduler.from_pretrained(place / "scheduler", steps_offset=1),
    )
    pipeline.set_progress_bar_config(disable=True)
    ours = LatteConfig(checkpoint=str(place)).build()
    for negative in ("a green ring on a box", ""):
        expected = torch.cat(
            [
                pipeline(
                    caption,
                    negative_prompt=negative,
                    clean_caption=False,
                    num_inference_steps=4,
                    guidance_scale=7.5,
                    video_length=3,
                    height=32,
                    width=48,
                    output_type="latent",
                    generator=torch.Generator().manual_seed(seed),
                ).frames
                for seed, caption in enumerate(CAPTIONS, start=5)
            ]
        )
        found = ours.sample_latents(
            ours.encode_text(CAPTIONS),
            negative=ours.encode_text([negative]) if negative else None,
            rng=[torch.Generator().manual_seed(seed) for seed in (5, 6)],
            steps=4,
            guidance=7.5,
            size=(32, 48),
        )
        steered = "other words" if negative else "no words"
        yield f"diffusers' `LattePipeline`, one by one, away from {steered}", found, expected

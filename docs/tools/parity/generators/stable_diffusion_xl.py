"""Stable Diffusion XL: diffusers' `StableDiffusionXLPipeline`, given the same conditions and the same noise."""

from collections.abc import Iterator
from pathlib import Path

import diffusers
import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor

from modalink.generators.stable_diffusion_xl import StableDiffusionXlConfig
from modalink.roles import Conditions
from modalink.testing.pipelines import tiny_stable_diffusion_xl

TOLERANCE = 1e-5


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """The conditions of captions, and two images, as latents, under guidance away from zeros and from conditions."""
    place = tiny_stable_diffusion_xl(folder)
    ours = StableDiffusionXlConfig(checkpoint=str(place)).build()
    pipeline = diffusers.StableDiffusionXLPipeline.from_pretrained(place)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.unet.set_attn_processor(AttnProcessor())  # ours, on a CPU at this size
    captions = ["a red cube", "two blue circles and a star"]
    tokens, _, pooled, _ = pipeline.encode_prompt(captions, do_classifier_free_guidance=False)
    found = ours.encode_text(captions)
    yield "diffusers' `StableDiffusionXLPipeline`, tokens of captions", found["tokens"], tokens
    yield "diffusers' `StableDiffusionXLPipeline`, pooled captions", found["pooled"], pooled
    asked, away = (Conditions({"tokens": torch.randn(2, 16, 56), "pooled": torch.randn(2, 20)}) for _ in range(2))
    given = {"prompt_embeds": asked["tokens"], "pooled_prompt_embeds": asked["pooled"]}
    negative = {"negative_prompt_embeds": away["tokens"], "negative_pooled_prompt_embeds": away["pooled"]}
    zeros = {name: torch.zeros_like(values) for name, values in negative.items()}
    for name, other, steered in (("zeros", zeros, None), ("conditions", negative, away)):
        sizes = {"height": 48, "width": 32, "num_inference_steps": 4, "guidance_scale": 5.0}
        sources = [[torch.Generator().manual_seed(seed) for seed in (5, 6)] for _ in range(2)]
        expected = pipeline(**given, **other, **sizes, generator=sources[0], output_type="latent").images
        found = ours.sample_latents(asked, negative=steered, rng=sources[1], steps=4, guidance=5.0, size=(48, 32))
        yield f"diffusers' `StableDiffusionXLPipeline`, Euler, away from {name}", found, expected

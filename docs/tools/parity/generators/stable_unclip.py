"""Stable unCLIP: diffusers' `StableUnCLIPImg2ImgPipeline`, given the same pictures, vectors and noise, in float64."""

from collections.abc import Iterator
from pathlib import Path

import diffusers
import torch
from diffusers.models.attention_processor import AttnProcessor
from PIL import Image
from torch import Tensor

from modalink.generators.stable_unclip import StableUnclipConfig
from modalink.roles import Conditions
from modalink.testing.pipelines import tiny_stable_unclip

TOLERANCE = 1e-5


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """The vectors of pictures, and two images, as latents, of vectors under little and under much noise."""
    place = tiny_stable_unclip(folder)
    pipeline = diffusers.StableUnCLIPImg2ImgPipeline.from_pretrained(place).to(torch.float64)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.unet.set_attn_processor(AttnProcessor())  # ours, on a CPU at this size
    pictures = [Image.new("RGB", (40, 32), colour) for colour in ("red", "blue")]
    pixels = pipeline.feature_extractor(pictures, return_tensors="pt").pixel_values.double()
    vectors = pipeline.image_encoder(pixels).image_embeds.detach()
    for level in (0, 400):
        ours = StableUnclipConfig(checkpoint=str(place), noise_level=level).build().double()
        if not level:
            found = ours.encode_images(pictures)["image"]
            yield "diffusers' `StableUnCLIPImg2ImgPipeline`, vectors of pictures", found, vectors
        sizes = {"height": 48, "width": 32, "num_inference_steps": 4, "guidance_scale": 5.0}
        sources = [[torch.Generator().manual_seed(seed) for seed in (5, 6)] for _ in range(2)]
        given = {"image_embeds": vectors, "prompt": ["", ""], "noise_level": level}
        expected = pipeline(**given, **sizes, generator=sources[0], output_type="latent").images
        asked = Conditions({"image": vectors})
        found = ours.sample_latents(asked, rng=sources[1], steps=4, guidance=5.0, size=(48, 32))
        yield f"diffusers' `StableUnCLIPImg2ImgPipeline`, DDIM, noise level {level}", found, expected

"""Shap-E: diffusers' `ShapEPipeline` and `ShapEImg2ImgPipeline`, given the same words, pictures and noise."""

from collections.abc import Iterator
from pathlib import Path

import torch
from diffusers import ShapEImg2ImgPipeline, ShapEPipeline
from torch import Tensor

from modalink.generators.shap_e import ShapEConfig
from modalink.roles import Conditions
from modalink.testing.shape_pipelines import tiny_shap_e

TOLERANCE = 2e-4  # a vector is brought to its length twice, which guidance multiplies; 1e-9 in double precision
CAPTIONS = ["a red cube", "two blue circles and a star"]


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Two shapes of captions and two of pictures, as latents, under guidance; and the corners of a mesh."""
    for kind, reads in ((ShapEPipeline, "text"), (ShapEImg2ImgPipeline, "image")):
        place = tiny_shap_e(folder / reads, reads=reads)
        ours = ShapEConfig(checkpoint=str(place), reads=reads, grid=16).build()
        pipeline = kind.from_pretrained(place)
        pipeline.set_progress_bar_config(disable=True)
        if reads == "text":
            asked, conditions = CAPTIONS, ours.encode_text(CAPTIONS)
        else:
            asked = torch.randn(2, 3, 16, 16)
            states = pipeline.image_encoder(asked).last_hidden_state[:, 1:].detach()
            conditions = Conditions({"tokens": states})
        expected = pipeline(
            asked,
            num_inference_steps=4,
            guidance_scale=4.0,
            output_type="latent",
            generator=[torch.Generator().manual_seed(seed) for seed in (5, 6)],
        ).images
        found = ours.sample_latents(
            conditions, rng=[torch.Generator().manual_seed(seed) for seed in (5, 6)], steps=4, guidance=4.0
        )
        yield f"diffusers' `{kind.__name__}`, Heun", found, expected
    (mesh,) = ours.to_media(expected[:1], ours.defaults, None)
    corners = pipeline.shap_e_renderer.decode_to_mesh(expected[:1], "cpu", grid_size=16).verts
    yield "diffusers' `ShapERenderer`, corners of a mesh", torch.from_numpy(mesh.points), corners

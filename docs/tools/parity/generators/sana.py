"""Sana: diffusers' `SanaPipeline`, given the same conditions, masks and noise."""

from collections.abc import Iterator
from pathlib import Path

import diffusers
import torch
from torch import Tensor

from modalink.generators.sana import SanaConfig
from modalink.roles import Conditions
from modalink.testing.pipelines import tiny_sana

TOLERANCE = 1e-5


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """The conditions of captions behind an instruction, and two images, as latents, under guidance."""
    solvers = {"DPM-Solver++": None, "Euler": diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)}
    for name, solver in solvers.items():
        place = tiny_sana(folder / name, scheduler=solver)
        ours = SanaConfig(checkpoint=str(place), tokens=12, instruction="say more: ").build()
        pipeline = diffusers.SanaPipeline.from_pretrained(place)
        pipeline.set_progress_bar_config(disable=True)
        if not solver:
            yield from _captions(ours, pipeline)
        tokens, away = torch.randn(2, 12, 16), torch.randn(2, 12, 16)
        masks = [torch.arange(12) < torch.tensor(lengths)[:, None] for lengths in ([5, 12], [3, 1])]
        expected = pipeline(
            prompt_embeds=tokens,
            prompt_attention_mask=masks[0].long(),
            negative_prompt_embeds=away,
            negative_prompt_attention_mask=masks[1].long(),
            negative_prompt=None,
            num_inference_steps=4,
            guidance_scale=4.5,
            height=64,
            width=32,
            use_resolution_binning=False,
            output_type="latent",
            generator=[torch.Generator().manual_seed(seed) for seed in (5, 6)],
        ).images
        found = ours.sample_latents(
            Conditions({"tokens": tokens}, {"tokens": masks[0]}),
            negative=Conditions({"tokens": away}, {"tokens": masks[1]}),
            rng=[torch.Generator().manual_seed(seed) for seed in (5, 6)],
            steps=4,
            guidance=4.5,
            size=(64, 32),
        )
        yield f"diffusers' `SanaPipeline`, {name}", found, expected


def _captions(ours, pipeline) -> Iterator[tuple[str, Tensor, Tensor]]:
    captions = ["a red cube", "two blue circles and a star " * 9]
    tokens, mask, nothing, _ = pipeline.encode_prompt(
        captions, max_sequence_length=12, complex_human_instruction=["say more: "], negative_prompt=""
    )
    found = ours.encode_text(captions)
    assert torch.equal(found.mask("tokens"), mask.bool())
    yield "diffusers' `SanaPipeline`, tokens of captions", found["tokens"], tokens
    yield "diffusers' `SanaPipeline`, tokens of no words", ours.null_conditions(2)["tokens"], nothing

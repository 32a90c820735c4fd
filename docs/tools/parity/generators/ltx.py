"""LTX-Video: diffusers' `LTXPipeline`, given the same words, masks and noise."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import Tensor
from transformers import AutoTokenizer, T5EncoderModel

from modalink.generators.ltx import LtxConfig
from modalink.testing.clip_pipelines import tiny_ltx

TOLERANCE = 1e-5
PARTS: dict[str, Any] = {
    "vae": diffusers.AutoencoderKLLTXVideo,
    "transformer": diffusers.LTXVideoTransformer3DModel,
    "text_encoder": T5EncoderModel,
    "scheduler": diffusers.FlowMatchEulerDiscreteScheduler,
}
RESTORING = {"timestep_conditioning": True, "decoder_inject_noise": (False, False, False)}
"""What later autoencoders have: a decoder that restores the last of the noise."""
CAPTIONS = ["a red cube", "two blue circles and a star"]
DECODING = {"decode_timestep": 0.05, "decode_noise_scale": 0.025}


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """The conditions of captions, and two clips as latents and as frames, under guidance away from other words."""
    euler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    for name, scheduler, vae in (("shift by size", None, {}), ("one shift", euler, RESTORING)):
        place = tiny_ltx(folder / name, scheduler=scheduler, vae=vae)
        ours = LtxConfig(checkpoint=str(place), text_tokens=16, frames=5, size="24x16", fps=10).build()
        pipeline = diffusers.LTXPipeline(
            **{part: kind.from_pretrained(place / part) for part, kind in PARTS.items()},
            tokenizer=AutoTokenizer.from_pretrained(place / "tokenizer"),
        )
        pipeline.set_progress_bar_config(disable=True)
        pipeline.check_inputs = lambda *_, **__: None  # it knows multiples of 32 alone
        if scheduler is None:
            yield from _captions(ours, pipeline)
        yield f"diffusers' `LTXPipeline`, {name}", *_latents(ours, pipeline)
        decoder = "decoder" if not vae else "decoder that restores noise"
        yield f"diffusers' `LTXPipeline`, frames of the {decoder}", *_frames(ours, pipeline)


def _captions(ours: Any, pipeline: Any) -> Iterator[tuple[str, Tensor, Tensor]]:
    captions = [*CAPTIONS, "a red cube on a box " * 9]
    tokens, mask, nothing, _ = pipeline.encode_prompt(captions, max_sequence_length=16)
    found = ours.encode_text(captions)
    assert torch.equal(found.mask("tokens"), mask)
    yield "diffusers' `LTXPipeline`, tokens of captions", found["tokens"], tokens.where(mask[..., None], 0)
    yield "diffusers' `LTXPipeline`, tokens of no words", ours.null_conditions(1)["tokens"][:, :1], nothing[:1, :1]


def _made(pipeline: Any, output_type: str) -> Any:
    return pipeline(
        CAPTIONS,
        negative_prompt=["a green ring", "a box"],
        num_inference_steps=4,
        guidance_scale=3.5,
        guidance_rescale=0.0,
        num_frames=5,
        height=16,
        width=24,
        frame_rate=10,
        max_sequence_length=16,
        output_type=output_type,
        generator=_sources(),
        **DECODING,
    ).frames


def _sources() -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in (5, 6)]


def _asked(ours: Any) -> dict[str, Any]:
    return {
        "conditions": ours.encode_text(CAPTIONS),
        "negative": ours.encode_text(["a green ring", "a box"]),
        "rng": _sources(),
        "steps": 4,
        "guidance": 3.5,
    }


def _latents(ours: Any, pipeline: Any) -> tuple[Tensor, Tensor]:
    return ours.sample_latents(**_asked(ours)).flatten(2).transpose(1, 2), _made(pipeline, "latent")


def _frames(ours: Any, pipeline: Any) -> tuple[Tensor, Tensor]:
    asked = _asked(ours)
    latents = ours.sample_latents(**asked)
    clips = [ours.decoded(own, source) for own, source in zip(latents, asked["rng"], strict=True)]
    return (torch.stack(clips) / 2 + 0.5).clamp(0, 1), _made(pipeline, "pt")

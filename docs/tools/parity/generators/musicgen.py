"""MusicGen: the samples of transformers' own `generate`, the likeliest codes under guidance, in float64."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from transformers import MusicgenForConditionalGeneration

from modalink.generators.musicgen import MusicgenConfig
from modalink.testing.sound_pipelines import tiny_musicgen

TOLERANCE = 1e-5  # sounds are float32
TEXTS = ["a red cube", "two blue circles and a star"]


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """The samples of two texts of different lengths."""
    place = str(tiny_musicgen(folder))
    ours = MusicgenConfig(checkpoint=place, text_tokens=10, seconds=0.006, temperature=0, dtype="float64").build()
    model = MusicgenForConditionalGeneration.from_pretrained(place, dtype=torch.float64).eval()
    tokens = ours.tokenizer(TEXTS, padding="max_length", max_length=10, truncation=True, return_tensors="pt")
    expected = model.generate(**tokens, do_sample=False, guidance_scale=3.0, max_new_tokens=15)
    found = ours.sample(ours.encode_text(TEXTS), rng=[torch.Generator(), torch.Generator()])
    waves = torch.stack([torch.from_numpy(sound.values) for sound in found])
    yield "transformers' `MusicgenForConditionalGeneration.generate`", waves, expected[:, 0].clamp(-1, 1).float()

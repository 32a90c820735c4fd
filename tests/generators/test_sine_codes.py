"""The codec of partials: what codes say of a sound, and MusicGen with it in EnCodec's place."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, MusicgenForConditionalGeneration

from modalink.generators._sine_codes import SineCodes, SineCodesConfig
from modalink.generators.musicgen import MusicgenConfig
from modalink.testing import check_generator
from modalink.testing.sound_pipelines import tiny_musicgen

RATE_HZ = 16_000
MIDDLE = slice(5, 45)
"""Frames of a second that see nothing of its ends."""


@pytest.fixture(scope="module")
def codec() -> SineCodes:
    """One codebook: a lone partial, and one with another an octave above that is a tenth as loud."""
    made = SineCodes(SineCodesConfig(codebook_size=256))
    made.codebooks[0, :, 6] = 1.0  # at the pitch itself
    made.codebooks[0, 1, 30] = 0.1**0.5  # 12 semitones above; magnitudes stand there by their roots
    return made


def tone(hertz: float, seconds: float = 1.0, peak: float = 0.4, octave: float = 0.0) -> torch.Tensor:
    phase = 2 * torch.pi * hertz * torch.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return (peak * (phase.sin() + octave * (2 * phase).sin()))[None, None]


def loudest_hertz(wave: torch.Tensor) -> float:
    return float(torch.fft.rfft(wave).abs().argmax() * RATE_HZ / len(wave))


@pytest.mark.parametrize("hertz", [150.0, 330.0, 1000.0, 2500.0])
def test_a_tone_is_its_pitch_in_quarters_of_a_semitone(codec: SineCodes, hertz: float) -> None:
    codes = codec.encode(tone(hertz)).audio_codes
    assert codes.shape == (1, 1, 3, 50) and codes.dtype == torch.int64
    level, pitch, shape = codes[0, 0, :, MIDDLE]
    assert (level == 24).all() and (shape == 0).all()
    assert (pitch == round(48 * np.log2(hertz / 100))).all()
    again = codec.decode(codes).audio_values
    assert again.shape == (1, 1, RATE_HZ)
    assert abs(12 * np.log2(loudest_hertz(again[0, 0]) / hertz)) <= 1 / 8 + 0.05


def test_a_sound_keeps_its_partials(codec: SineCodes) -> None:
    plain, rich = (codec.encode(tone(400, octave=octave)).audio_codes for octave in (0.0, 0.1))
    assert (plain[0, 0, 2, MIDDLE] == 0).all() and (rich[0, 0, 2, MIDDLE] == 1).all()
    assert torch.equal(plain[0, 0, :2, MIDDLE], rich[0, 0, :2, MIDDLE])
    spectrum = torch.fft.rfft(codec.decode(rich).audio_values[0, 0]).abs()  # a Hz each: it lasts a second
    first, octave = spectrum[390:410].max(), spectrum[780:820].max()
    assert octave / first == pytest.approx(0.1, rel=0.15)


def test_half_as_loud_is_as_many_levels_less_as_its_logarithm_says(codec: SineCodes) -> None:
    """Levels lie 5.2 / 23 apart; what is more than 5.2 under the loudest is silent, and has neither pitch nor shape."""
    steps = torch.cat([tone(1000, 0.5, peak) for peak in (0.8, 0.4, 0.1, 0.001)], -1)
    codes = codec.encode(steps).audio_codes[0, 0]
    assert codes[0, [12, 37, 62, 87]].tolist() == [24, 24 - 3, 24 - 9, 0]
    assert codes[1:, 87].tolist() == [0, 0] and torch.equal(codes[1:, 12], codes[1:, 62])


def test_how_loud_a_sound_is_does_not_matter_but_silence_stays_silent(codec: SineCodes) -> None:
    loud, low = (codec.encode(tone(1000, peak=peak)).audio_codes for peak in (0.8, 0.1))
    assert torch.equal(loud, low)
    silence = codec.encode(torch.zeros(1, 1, 4000)).audio_codes
    assert silence.shape == (1, 1, 3, 12) and not silence.any()
    assert not codec.decode(silence).audio_values.any()
    assert codec.encode(torch.zeros(1, 1, 10)).audio_codes.shape == (1, 1, 3, 0)  # less than a frame


def test_a_rising_tone_rises_evenly_again(codec: SineCodes) -> None:
    hertz = 300 * 2 ** torch.linspace(0, 1, RATE_HZ)
    wave = 0.4 * (2 * torch.pi * hertz.cumsum(0) / RATE_HZ).sin()
    codes = codec.encode(wave[None, None]).audio_codes
    steps = codes[0, 0, 1, MIDDLE].diff()
    assert steps.min() >= 0 and steps.max() <= 2 and steps.sum() == pytest.approx(48 * 39 / 50, abs=1)
    again = codec.decode(codes).audio_values[0, 0]
    for second, expected in ((0.25, 300 * 2**0.25), (0.75, 300 * 2**0.75)):
        around = again[int(second * RATE_HZ) - 800 : int(second * RATE_HZ) + 800] * torch.hann_window(1600)
        assert loudest_hertz(around) == pytest.approx(expected, rel=0.04)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny MusicGen whose codec is this one, with random codebooks."""
    place = tmp_path_factory.mktemp("sine-musicgen")
    model: Any = MusicgenForConditionalGeneration.from_pretrained(tiny_musicgen(place / "encodec"))
    books, size = model.decoder.num_codebooks, model.config.decoder.vocab_size
    codec = SineCodes(SineCodesConfig(num_quantizers=books, codebook_size=size))
    codec.codebooks.copy_(torch.rand(codec.codebooks.shape, generator=torch.Generator().manual_seed(0)) / 3)
    parts = {"text_encoder": model.text_encoder, "audio_encoder": codec, "decoder": model.decoder}
    configs = {name: part.config.to_dict() for name, part in parts.items()}
    whole = MusicgenForConditionalGeneration(type(model.config)(**configs), **parts)
    whole.generation_config = model.generation_config
    whole.save_pretrained(place / "sines")
    for file in (place / "encodec").glob("*token*"):
        (place / "sines" / file.name).write_bytes(file.read_bytes())
    return place / "sines"


def test_it_is_saved_and_loaded_as_any_model(codec: SineCodes, tmp_path: Path) -> None:
    codec.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path)
    assert type(again) is SineCodes and torch.equal(again.codebooks, codec.codebooks)
    assert again.config.levels == 24 and again.config.hop == 320


def test_a_musicgen_with_it_keeps_the_promises_of_its_role(checkpoint: Path) -> None:
    check_generator(MusicgenConfig(checkpoint=str(checkpoint), seconds=0.3, text_tokens=10))


def test_transformers_itself_plays_what_is_said(checkpoint: Path) -> None:
    ours = MusicgenConfig(checkpoint=str(checkpoint), seconds=0.24, text_tokens=10, temperature=0, guidance=1).build()
    model: Any = MusicgenForConditionalGeneration.from_pretrained(checkpoint).eval()
    tokens = ours.tokenizer(["a red cube"], padding="max_length", max_length=10, return_tensors="pt")
    expected = model.generate(**tokens, do_sample=False, guidance_scale=1, max_new_tokens=12 + 4 - 1)
    (found,) = ours.sample(ours.encode_text(["a red cube"]), rng=[torch.Generator()])
    assert expected.shape == (1, 1, 3840) and found.rate_hz == RATE_HZ
    assert np.abs(found.values - expected[0, 0].clamp(-1, 1).numpy()).max() <= 1e-5

"""Whisper's encoder: windows of a sound to tokens, equal to transformers' own, alone and in a batch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor, WhisperModel

from modalink.encoders.whisper import WhisperConfig
from modalink.errors import MediumError, PartError
from modalink.kinds import parse
from modalink.modalities.audio import Sound
from modalink.ragged import Layout, Ragged
from modalink.testing import check_encoder
from modalink.testing.checkpoints import tiny_llama, tiny_whisper


def sound(seconds: float, rate: int = 16_000) -> Sound:
    return Sound(np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * rate)).astype(np.float32), rate)


@pytest.mark.parametrize("settings", [{}, {"drop_padding": False}])
def test_it_keeps_the_promises_of_its_role(tmp_path: Path, settings: dict[str, Any]) -> None:
    check_encoder(WhisperConfig(checkpoint=str(tiny_whisper(tmp_path)), **settings))


def test_tokens_are_those_of_transformers(tmp_path: Path) -> None:
    """Measured difference 0.0 to its encoder on its feature extractor's windows."""
    config = WhisperConfig(checkpoint=str(tiny_whisper(tmp_path)))
    encoder, preprocess = config.build(), config.preprocessor()
    medium = sound(2.3)
    layout = preprocess.layout(medium)
    tower = WhisperModel.from_pretrained(tmp_path).get_encoder().eval()
    extract = AutoFeatureExtractor.from_pretrained(tmp_path)
    cut = [medium.values[start : start + 16_000] for start in (0, 16_000, 32_000)]
    with torch.no_grad():
        expected = tower(extract(cut, sampling_rate=16_000, return_tensors="pt").input_features).last_hidden_state
        found = encoder(Ragged.of([preprocess(medium)], [layout]))
        whole = config.replace(drop_padding=False).build()(Ragged.of([preprocess(medium)], [layout]))
    assert torch.equal(whole.values, expected.flatten(0, 1))
    assert torch.equal(found.values, torch.cat([expected[0], expected[1], expected[2, :15]]))
    assert found.layouts == (Layout(3, (50, 50, 15), times_s=(0.0, 1.0, 2.0)),)


@pytest.mark.parametrize(
    ("seconds", "frames"), [(1.0, (100,)), (1.0001, (100, 1)), (0.0001, (1,)), (0.015, (2,)), (2.0, (100, 100))]
)
def test_a_layout_is_known_from_the_length_alone(tmp_path: Path, seconds: float, frames: tuple[int, ...]) -> None:
    config = WhisperConfig(checkpoint=str(tiny_whisper(tmp_path)))
    for rate in (16_000, 44_100):
        layout = config.preprocessor().layout(sound(seconds, rate))
        assert layout.blocks == frames
        assert config.layout(layout).blocks == tuple(-(-n // 2) for n in frames)


def test_a_sound_that_is_too_long_is_refused(tmp_path: Path) -> None:
    preprocess = WhisperConfig(checkpoint=str(tiny_whisper(tmp_path)), max_seconds=2).preprocessor()
    with pytest.raises(MediumError, match=r"lasts 2\.10 s, this encoder reads at most 2 s") as caught:
        preprocess.layout(sound(2.1))
    assert caught.value.reason == "too_long"


def test_another_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PartError, match="found a checkpoint of type 'llama', needed Whisper's"):
        WhisperConfig(checkpoint=str(tiny_llama(tmp_path))).build()


def test_the_full_size_is_known_without_a_network() -> None:
    config: Any = parse("modalink.encoders", {"kind": "whisper", "checkpoint": "openai/whisper-large-v2"})
    with torch.device("meta"):
        encoder = config.build(weights=False)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 636_784_640
    assert config.layout(config.preprocessor().layout(sound(31.0))).blocks == (1500, 50)

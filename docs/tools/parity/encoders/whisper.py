"""Whisper: the encoder of transformers behind its own feature extractor."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import Tensor
from transformers import AutoFeatureExtractor, WhisperModel

from modalink.encoders.whisper import WhisperConfig
from modalink.modalities.audio import Sound
from modalink.ragged import Ragged
from modalink.testing import checkpoints


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """2.3 seconds of noise, in windows of one second."""
    place = checkpoints.tiny_whisper(folder)
    sound = Sound(np.random.default_rng(0).uniform(-0.5, 0.5, 36_800).astype(np.float32), 16_000)
    config = WhisperConfig(checkpoint=str(place), drop_padding=False)
    preprocess = config.preprocessor()
    items = Ragged.of([preprocess(sound)], [preprocess.layout(sound)])
    windows = [sound.values[start : start + 16_000] for start in range(0, 36_800, 16_000)]
    extract = AutoFeatureExtractor.from_pretrained(place)
    spectrograms = extract(windows, sampling_rate=16_000, return_tensors="pt").input_features
    tower = WhisperModel.from_pretrained(place).get_encoder().eval()
    expected = tower(spectrograms).last_hidden_state.flatten(0, 1)
    yield "transformers' `WhisperModel`", config.build()(items).values, expected

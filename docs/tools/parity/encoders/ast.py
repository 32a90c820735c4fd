"""The Audio Spectrogram Transformer of transformers behind its own feature extractor."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import Tensor
from transformers import ASTFeatureExtractor, ASTModel

from modalink.encoders.ast import AstConfig
from modalink.modalities.audio import Sound
from modalink.ragged import Ragged
from modalink.testing import checkpoints


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """A second of noise, in windows of 64 frames."""
    place = checkpoints.tiny_ast(folder)
    sound = Sound(np.random.default_rng(0).uniform(-0.5, 0.5, 16_000).astype(np.float32), 16_000)
    config = AstConfig(checkpoint=str(place), drop_padding=False)
    preprocess = config.preprocessor()
    items = Ragged.of([preprocess(sound)], [preprocess.layout(sound)])
    windows = [sound.values[start : start + 63 * 160 + 400] for start in (0, 64 * 160)]
    spectrograms = ASTFeatureExtractor.from_pretrained(place)(windows, sampling_rate=16_000, return_tensors="pt")
    states = ASTModel.from_pretrained(place).eval()(spectrograms.input_values).last_hidden_state
    yield "transformers' `ASTModel`", config.build()(items).values, states[:, 2:].flatten(0, 1)

"""CLAP's tower of sounds in transformers behind its own feature extractor, whose draws are the middle ones."""

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
from torch import Tensor
from transformers import ClapFeatureExtractor, ClapModel

from modalink.encoders.clap import ClapConfig
from modalink.modalities.audio import Sound
from modalink.ragged import Ragged
from modalink.testing import checkpoints


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Noise of a window or less, and with fusion of more."""
    for fused, lengths in ((False, (16_000, 5000)), (True, (16_000, 36_800))):
        name = f"transformers' `ClapAudioModel`, {'fused' if fused else 'not fused'}"
        place = checkpoints.tiny_clap(folder / name, enable_fusion=fused)
        random = np.random.default_rng(0)
        sounds = [Sound(random.uniform(-0.5, 0.5, n).astype(np.float32), 16_000) for n in lengths]
        config = ClapConfig(checkpoint=str(place))
        preprocess = config.preprocessor()
        items = Ragged.of([preprocess(one) for one in sounds], [preprocess.layout(one) for one in sounds])
        with mock.patch("numpy.random.choice", lambda places: places[len(places) // 2]):
            extract = ClapFeatureExtractor.from_pretrained(place)
            inputs = extract([one.values for one in sounds], sampling_rate=16_000, return_tensors="pt")
        tower = ClapModel.from_pretrained(place).eval().audio_model
        state = tower(inputs.input_features.float(), is_longer=inputs.is_longer).last_hidden_state
        yield name, config.build()(items).values, state.flatten(2).mT.flatten(0, 1)

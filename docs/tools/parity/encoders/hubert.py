"""HuBERT and its kin: the classes of transformers behind their own feature extractor, each sound alone."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import HubertModel, Wav2Vec2FeatureExtractor, Wav2Vec2Model, WavLMModel

from modalink.encoders.hubert import HubertConfig
from modalink.modalities.audio import Sound
from modalink.ragged import Ragged
from modalink.testing import checkpoints

TOLERANCE = 3e-5
"""A batch may take other kernels, and filled windows are masked."""
_LAYER = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Three sounds of two lengths in one batch, with either norm."""
    random = np.random.default_rng(0)
    sounds = [Sound(random.uniform(-0.5, 0.5, n).astype(np.float32), 16_000) for n in (16_000, 9000, 16_000)]
    for model in (HubertModel, Wav2Vec2Model, WavLMModel):
        for norm, form in (("group norm", {}), ("layer norm", _LAYER)):
            place = checkpoints.tiny_hubert(folder / f"{model.__name__} {norm}", model, **form)
            config = HubertConfig(checkpoint=str(place))
            preprocess = config.preprocessor()
            items = Ragged.of([preprocess(one) for one in sounds], [preprocess.layout(one) for one in sounds])
            tower, extract = model.from_pretrained(place).eval(), Wav2Vec2FeatureExtractor.from_pretrained(place)
            inputs = [extract(one.values, sampling_rate=16_000, return_tensors="pt").input_values for one in sounds]
            expected = torch.cat([tower(values).last_hidden_state[0] for values in inputs])
            yield f"transformers' `{model.__name__}`, {norm}", config.build()(items).values, expected

"""BEATs: numbers that the authors' code gave, microsoft/unilm, beats, with torchaudio 2.11.1.

How they were made: `BEATs` was built with the `cfg` of `tiny_beats` and its weights were loaded, without the
classifier; `extract_features` read the sound below, and once more with `preprocess` replaced by the frames below. Of
what came, `[::5, ::4]` is in `beats.json`, to six places.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from modalink.encoders.beats import BeatsConfig
from modalink.modalities.audio import Sound
from modalink.ragged import Layout, Ragged
from modalink.testing import checkpoints

TOLERANCE = 1e-4
"""The filter banks are those of torchaudio, which computes in float32, up to 0.002 where a band is nearly silent."""
FORMS = {
    "gated distances, deep norm": {},
    "distances": {"gru_rel_pos": False, "deep_norm": False},
    "no distances": {"relative_position_embedding": False, "gru_rel_pos": False, "embed_dim": 32},
}


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """A second of noise, and frames of noise."""
    sound = Sound(np.random.default_rng(0).uniform(-0.5, 0.5, 16_000).astype(np.float32), 16_000)
    frames = torch.randn(64, 128, generator=torch.Generator().manual_seed(0))
    references = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    for name, form in FORMS.items():
        config = BeatsConfig(checkpoint=str(checkpoints.tiny_beats(folder / name, **form)))
        encoder, preprocess = config.build(), config.preprocessor()
        items = {
            "a sound": Ragged.of([preprocess(sound)], [preprocess.layout(sound)]),
            "frames": Ragged.of([frames], [Layout(64, (64,))]),
        }
        for what, given in items.items():
            expected = torch.tensor(references[name][what])
            yield f"the authors' code, {name}, from {what}", encoder(given).values[::5, ::4], expected

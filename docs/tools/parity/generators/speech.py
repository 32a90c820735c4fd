"""Voices: transformers' own SpeechT5 with HiFi-GAN and VITS, given the same text and the same draws, in float64."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import AutoTokenizer, SpeechT5ForTextToSpeech, SpeechT5HifiGan, VitsModel

from modalink.generators.speech import SpeechConfig
from modalink.testing.voices import tiny_hifigan, tiny_speecht5, tiny_vits

TOLERANCE = 1e-5  # sounds are float32
TEXT = "The cube is red"


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """The samples of one sentence."""
    np.save(folder / "speaker.npy", np.random.default_rng(0).normal(size=12))
    place, vocoder = str(tiny_speecht5(folder / "speecht5")), str(tiny_hifigan(folder / "hifigan"))
    config = SpeechConfig(checkpoint=place, vocoder=vocoder, speaker=str(folder / "speaker.npy"), dtype="float64")
    yield "transformers' `SpeechT5ForTextToSpeech` with `SpeechT5HifiGan`", _said(config), _speecht5(config)
    config = SpeechConfig(checkpoint=str(tiny_vits(folder / "vits")), dtype="float64")
    yield "transformers' `VitsModel`", _said(config), _vits(config)


def _said(config: SpeechConfig) -> Tensor:
    voice = config.build()
    (sound,) = voice.sample(voice.encode_text([TEXT]), rng=[torch.Generator().manual_seed(4)])
    return torch.from_numpy(sound.values)


def _speecht5(config: SpeechConfig) -> Tensor:
    model = SpeechT5ForTextToSpeech.from_pretrained(config.checkpoint, dtype=torch.float64).eval()
    vocoder = SpeechT5HifiGan.from_pretrained(config.vocoder, dtype=torch.float64).eval()
    source = torch.Generator().manual_seed(4)

    def dropped(inputs: Tensor, share: float) -> Tensor:
        """Its dropout, from this source: of all frames that it embeds anew each step, only the last is read."""
        kept = torch.bernoulli(torch.full(inputs.shape[-1:], share), generator=source) == 1
        return torch.where(kept, inputs, 0) / (1 - share)

    model.speecht5.decoder.prenet._consistent_dropout = dropped
    ids = config.build().encode_text([TEXT])
    spoken = ids["characters"][:, ids.mask("characters")[0], 0]
    speaker = torch.from_numpy(np.load(config.speaker))[None]
    return model.generate_speech(spoken, speaker, vocoder=vocoder).clamp(-1, 1).float()


def _vits(config: SpeechConfig) -> Tensor:
    model = VitsModel.from_pretrained(config.checkpoint, dtype=torch.float64).eval()
    torch.manual_seed(int(torch.randint(2**63 - 1, (1,), generator=torch.Generator().manual_seed(4))))
    said = AutoTokenizer.from_pretrained(config.checkpoint)(TEXT, return_tensors="pt")
    return model(**said).waveform[0].clamp(-1, 1).float()

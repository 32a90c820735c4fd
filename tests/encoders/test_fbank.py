"""Filter banks equal Kaldi's.

The numbers are those of torchaudio 2.11.1, `compliance.kaldi.fbank(sound[None], htk_compat=True, num_mel_bins=128,
dither=0.0, window_type="hanning")` or `"povey"`, of the sound below.
"""

import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from transformers.audio_utils import mel_filter_bank

from modalink.encoders import _fbank
from modalink.encoders._fbank import fbank, frames

SOUND = np.random.default_rng(0).uniform(-0.5, 0.5, 1000).astype(np.float32)
BANDS = [0, 5, 10, 60, 127]
KALDI = {
    "hann": [
        [-6.3399, -7.0716, -2.0735, 1.7306, 5.6841],
        [-6.2288, -5.7349, -4.1242, 0.0306, 4.4576],
        [-4.4520, -9.0225, -2.6242, 1.6196, 5.4309],
        [-5.4252, -6.2007, -3.9538, -0.5585, 5.9929],
    ],
    "povey": [
        [-6.1705, -6.8038, -1.9546, 1.6894, 5.7999],
        [-6.3257, -5.6802, -3.8792, 0.0894, 4.5672],
        [-4.2712, -9.4252, -2.6009, 1.6140, 5.4812],
        [-5.3974, -6.1921, -3.9851, -0.7642, 6.0361],
    ],
}


@pytest.mark.parametrize("window", ["hann", "povey"])
def test_the_numbers_are_kaldis(window: str) -> None:
    found = fbank(SOUND, 128, window=window)
    assert found.shape == (4, 128) and found.dtype == torch.float32
    torch.testing.assert_close(found[:, BANDS], torch.tensor(KALDI[window]), atol=2e-4, rtol=0)


def test_silence_is_the_floor() -> None:
    silence = fbank(np.zeros(720, np.float32), 23, window="povey")
    torch.testing.assert_close(silence, torch.full((3, 23), float(np.log(np.finfo(np.float32).eps))))


@pytest.mark.parametrize(("samples", "whole"), [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2), (32_000, 198)])
def test_only_whole_frames_count(samples: int, whole: int) -> None:
    assert frames(samples) == whole
    if whole:
        assert len(fbank(np.zeros(samples, np.float32), 8, window="hann")) == whole


def test_threads_that_begin_together_warn_nobody(monkeypatch):
    """Half of the lowest bands lie between two frequencies, of which the library warns."""

    def slow(**settings):
        time.sleep(0.05)
        return mel_filter_bank(**settings)

    monkeypatch.setattr(_fbank, "mel_filter_bank", slow)
    _fbank._filters.cache_clear()
    sound = np.zeros(_fbank.FRAME, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        with ThreadPoolExecutor(4) as threads:
            made = list(threads.map(lambda _: _fbank.fbank(sound, 128, window="hann"), range(8)))
        assert warnings.filters == before
    assert all(torch.equal(one, made[0]) for one in made)

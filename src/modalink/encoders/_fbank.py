"""Filter banks as Kaldi makes them: the logarithm of the energies in mel bands, a frame each 10 ms.

The same numbers as torchaudio's `compliance.kaldi.fbank` without dither, by the means of transformers: within 6e-7
in float64; in float32, in which that computes, up to 0.002 where a band is nearly silent beside a loud one.
"""

import warnings
from functools import lru_cache
from threading import Lock
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

RATE_HZ = 16_000
"""Samples a second of the sounds that are read."""
FRAME, HOP = 400, 160
"""Samples of a frame, and from the beginning of one to that of the next."""
_PADDED = 512
_FLOOR = float(np.finfo(np.float32).eps)
"""The least energy, of which a logarithm is taken."""
_ONE_AT_A_TIME = Lock()


def frames(samples: int) -> int:
    """How many whole frames there are in so many samples."""
    return 0 if samples < FRAME else 1 + (samples - FRAME) // HOP


def fbank(
    samples: Float32[np.ndarray, " n"], bins: int, *, window: Literal["hann", "povey"]
) -> Float[Tensor, "frames bins"]:
    """The filter bank of a sound, float32.

    Args:
        samples: The sound, mono, at 16 kHz; at least one frame of it.
        bins: Mel bands, from 20 Hz to 8 kHz.
        window: What each frame is multiplied with: `povey` is Kaldi's own.
    """
    values = spectrogram(
        samples,
        _window(window),
        frame_length=FRAME,
        hop_length=HOP,
        fft_length=_PADDED,
        power=2.0,
        center=False,
        preemphasis=0.97,
        mel_filters=_filters(bins),
        mel_floor=_FLOOR,
        log_mel="log",
        remove_dc_offset=True,
    )
    return torch.from_numpy(np.ascontiguousarray(values.T, dtype=np.float32))


@lru_cache(4)
def _window(name: str) -> Float[np.ndarray, " frame"]:
    values: Float[np.ndarray, " frame"] = window_function(FRAME, name, periodic=False)
    return values


@lru_cache(4)
def _filters(bins: int) -> Float[np.ndarray, "frequencies bins"]:
    # Filters of warnings belong to the process: of two threads in here, one would give the other's back to all.
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of many bands the lowest lie between two frequencies, as Kaldi's do
        values: Float[np.ndarray, "frequencies bins"] = mel_filter_bank(
            num_frequency_bins=_PADDED // 2 + 1,
            num_mel_filters=bins,
            min_frequency=20.0,
            max_frequency=RATE_HZ / 2,
            sampling_rate=RATE_HZ,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )
    return values

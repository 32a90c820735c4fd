"""Damaged sounds are read or refused in words: what is read is as long as was announced, every sample a number."""

import io

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given

from modalink import modalities
from tests.robustness.fuzzing import fuzzed
from tests.robustness.mutations import damaged_bytes
from tests.robustness.watch import held

_RATE = 16_000
_WAVE = (0.3 * np.sin(np.arange(4000) * 0.2)).astype(np.float32)
_PLAIN = {"WAV": "PCM_16", "FLAC": "PCM_16", "AIFF": "PCM_24", "OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}


def plain(format: str, subtype: str) -> bytes:
    """A quarter of a second, by libsndfile."""
    file = io.BytesIO()
    soundfile.write(file, _WAVE, _RATE, format=format, subtype=subtype)
    return file.getvalue()


def contained(format: str, codec: str) -> bytes:
    """The same in a container, by FFmpeg."""
    file = io.BytesIO()
    with av.open(file, "w", format=format) as container:
        track = container.add_stream(codec, rate=_RATE)
        frame = av.AudioFrame.from_ndarray(_WAVE[None], format="fltp", layout="mono")
        frame.rate, frame.pts = _RATE, 0
        container.mux(track.encode(frame))
        container.mux(track.encode())
    return file.getvalue()


SOUNDS = {
    **{format.lower(): plain(format, subtype) for format, subtype in _PLAIN.items()},
    "wav-float": plain("WAV", "FLOAT"),
    "m4a": contained("ipod", "aac"),
    "mka": contained("matroska", "flac"),
}


@pytest.mark.parametrize("format", sorted(SOUNDS))
def test_damaged_sounds(format: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    @fuzzed(1)
    @given(content=damaged_bytes(SOUNDS[format]))
    def read(content: bytes) -> None:
        with held():
            sound = modalities.get("audio").open(content)
            samples = sound.samples(sound.rate_hz)
            assert len(samples) == sound.frames and np.isfinite(samples).all()

    read()

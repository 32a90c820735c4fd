"""The sound of a container: its length by its packets, and its samples in blocks, at their own times."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import av
import numpy as np
from jaxtyping import Float32

from modalink.errors import MediumError
from modalink.modalities import _containers
from modalink.modalities._binary import Stored
from modalink.modalities._truncation import is_cut_short

_MAX_PIXELS = 2**25
"""Most pixels of the pictures beside the sound: none is wanted, but FFmpeg looks at the first."""

_SLACK_S = 0.1
"""So much may be missing where a codec begins and ends: it works in frames, of which headers say how much is sound."""


class Facts(NamedTuple):
    """What is known of a sound without decoding it."""

    rate_hz: int
    channels: int
    frames: int
    """Samples of each channel."""


def facts(stored: Stored, max_seconds: float) -> Facts:
    """What a container says of its sound.

    Raises:
        MediumError: It is no container, has no sound, or is longer than `max_seconds`, as far as it was looked through.
    """
    with _track(stored) as (container, track):
        rate = track.codec_context.sample_rate
        told = 0.0 if track.duration is None else float(track.duration * track.time_base)
        if not (container.format.name.startswith("mov") and told):
            # Of a format that has no table of its packets, the length may be guessed from the bit rate.
            packed = _packed_s(container, track, max_seconds)
            if packed > max_seconds:
                told = max(told, packed)
            elif not packed - _SLACK_S <= told <= packed:
                told = packed
        return Facts(rate, track.codec_context.layout.nb_channels, round(told * rate))


def _packed_s(container: Any, track: Any, max_seconds: float) -> float:
    """How long the packets of a track last; no more are looked at where it is too long."""
    first, last = None, 0.0
    for packet in container.demux(track):
        if packet.size and packet.pts is not None:
            begin = float(packet.pts * packet.time_base)
            # What lies before zero is what the codec needs to begin, and is not heard.
            first = max(0.0, begin) if first is None else first
            last = max(last, begin + float((packet.duration or 0) * packet.time_base))
            if last - first > max_seconds:
                break
    return last - (first or 0.0)


def blocks(stored: Stored, facts: Facts) -> Iterator[Float32[np.ndarray, "n c"]]:
    """The samples of a container's sound from its beginning, as many as its facts tell, gaps filled with silence.

    Raises:
        MediumError: It cannot be decoded, or holds less than it says.
    """
    slack, done = round(_SLACK_S * facts.rate_hz), 0
    with _track(stored) as (container, track):
        convert = av.AudioResampler(format="fltp")
        start = None
        for frame in container.decode(track):
            time = done if frame.pts is None else round(float(frame.pts * frame.time_base) * facts.rate_hz)
            start = time if start is None else start
            if (gap := min(time - start, facts.frames) - done) > slack:
                yield from _silence(gap, facts.channels)
                done += gap
            if frame.sample_rate != facts.rate_hz:
                detail = f"changes from {facts.rate_hz} to {frame.sample_rate} Hz within; write it anew"
                raise MediumError(stored.label, "damaged", detail)
            for part in convert.resample(frame):
                block = part.to_ndarray().T[: facts.frames - done]
                done += len(block)
                yield block
            if done >= facts.frames:
                return
    if facts.frames - done > slack:
        detail = f"is truncated: it holds {done:,} of the {facts.frames:,} samples that it says; fetch it again"
        raise MediumError(stored.label, "truncated", detail)
    yield from _silence(facts.frames - done, facts.channels)


def _silence(frames: int, channels: int) -> Iterator[Float32[np.ndarray, "n c"]]:
    for start in range(0, frames, 65536):
        yield np.zeros((min(65536, frames - start), channels), np.float32)


@contextmanager
def _track(stored: Stored) -> Iterator[tuple[Any, Any]]:
    """An open container, and the sound in it."""
    with stored.open() as file:
        cut = is_cut_short(file)
    if cut:
        detail = "is truncated: it ends before its own headers say; fetch it again"
        raise MediumError(stored.label, "truncated", detail)
    with _containers.opened(stored, "audio", max_pixels=_MAX_PIXELS) as container:
        yield container, _containers.stream(container, "audio", stored.label, "audio")

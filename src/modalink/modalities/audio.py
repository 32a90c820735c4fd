"""Sounds: opened from a path, bytes, data URL or samples; checked, made mono, of the rate that is asked for."""

import hashlib
import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from jaxtyping import Float32, Shaped

from modalink.errors import MediumError
from modalink.modalities import _binary, _previews, _sound_files, _tracks, _waves
from modalink.roles import MediumHandle, ModalityRecord, Preview

MAX_SECONDS = 3600.0
"""Longest sound."""
MAX_SAMPLES = 2**28
"""Most samples that are decoded together: an hour at 74 kHz, a gigabyte."""
MAX_BYTES = 2**30
"""Most bytes of one encoded sound, or of the video that holds it."""

_MOST_CHANNELS = 64
"""Of samples that are given; more are rows and columns the wrong way round."""
_WRITTEN = {".wav": "FLOAT", ".flac": "PCM_24"}
_SUFFIXES = (
    *(".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac"),
    *(".aif", ".aiff", ".au", ".weba", ".mka", ".wma", ".amr", ".ac3"),
)


@dataclass(frozen=True, eq=False)
class Sound:
    """A decoded sound.

    Args:
        values: Samples, mono, or a column a channel: floating point from -1 to 1, int16 or int32. What reads a sound
            reads the mean of its channels; files hold them all.
        rate_hz: Samples a second.
    """

    values: Shaped[np.ndarray, " n"] | Shaped[np.ndarray, "n c"]
    rate_hz: int

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Shaped[np.ndarray, "..."]:
        return np.array(self.values, dtype=dtype, copy=copy)


class AudioHandle(MediumHandle):
    """A sound, found and checked.

    Args:
        label: What errors call it.
        facts: Its rate, channels and samples.
    """

    def __init__(self, label: str, facts: _tracks.Facts) -> None:
        super().__init__(label)
        self._facts = facts
        self.rate_hz, self.channels, self.frames = facts

    @property
    def duration_s(self) -> float:
        """How long it lasts."""
        return self.frames / self.rate_hz

    @property
    def extent(self) -> str:
        """How long it is, for people."""
        return f"{self.duration_s:.2f} s"

    def length(self, rate_hz: int) -> int:
        """How many samples it has at a rate."""
        return _waves.length(self.frames, self.rate_hz, rate_hz)

    def samples(self, rate_hz: int, start: int = 0, count: int | None = None) -> Float32[np.ndarray, " n"]:
        """Samples at a rate, mono, full scale being 1; only what they need is decoded and kept.

        The samples of a part are those that the whole sound has there, to the bit.

        Args:
            rate_hz: Samples a second, whatever the sound's own rate is.
            start: The first of these samples.
            count: How many; up to the end if there are fewer, or none is given.

        Raises:
            MediumError: They cannot be decoded, are not finite, or are far louder than full scale.
        """
        total = self.length(rate_hz)
        stop = total if count is None else min(start + count, total)
        if rate_hz == self.rate_hz:
            return self._mono(start, stop)
        first, last = _waves.needed(start, stop, self.rate_hz, rate_hz)
        part = self._mono(first, min(last, self.frames))
        return _waves.resampled(part, first, start, stop, self.rate_hz, rate_hz)

    def read(self) -> Sound:
        """The whole sound, mono, at its own rate."""
        return Sound(self._mono(0, self.frames), self.rate_hz)

    def whole(self) -> Sound:
        """The whole sound with all its channels, at its own rate."""
        values = self.all_channels()
        return Sound(values[:, 0] if self.channels == 1 else values, self.rate_hz)

    def all_channels(self) -> Float32[np.ndarray, "n c"]:
        """The whole sound at its own rate, a column a channel."""
        values, done = np.empty((self.frames, self.channels), np.float32), 0
        for block in self._blocks(0, self.frames):
            _waves.mono(block, self.label)  # refuses what is no sound
            values[done : done + len(block)] = block
            done += len(block)
        return values

    def _mono(self, start: int, stop: int) -> Float32[np.ndarray, " n"]:
        if stop - start > MAX_SAMPLES:
            detail = f"{stop - start:,} samples are too many to be decoded together, at most {MAX_SAMPLES:,}; cut it"
            raise MediumError(self.label, "too_long", detail)
        values, done = np.empty(stop - start, np.float32), 0
        for block in self._blocks(start, stop):
            values[done : done + len(block)] = _waves.mono(block, self.label)
            done += len(block)
        return values

    @abstractmethod
    def _blocks(self, start: int, stop: int) -> Iterator[Float32[np.ndarray, "n c"]]:
        """The own samples of a part, some at a time."""


class _StoredSound(AudioHandle):
    def __init__(self, stored: _binary.Stored, max_seconds: float) -> None:
        self._stored = stored
        with stored.open() as file:
            facts = _sound_files.facts(file, stored.label)
            self._plain = facts is not None
        facts = facts or _tracks.facts(stored, max_seconds)
        _check(facts, stored.label, max_seconds)
        super().__init__(stored.label, facts)

    @property
    def digest(self) -> str:
        return self._stored.digest

    def _blocks(self, start: int, stop: int) -> Iterator[Float32[np.ndarray, "n c"]]:
        if self._plain:
            with self._stored.open() as file:
                yield from _sound_files.blocks(file, self.label, self._facts, start, stop - start)
            return
        # Codecs begin anew after a jump, and would give other samples there.
        place = 0
        for block in _tracks.blocks(self._stored, self._facts):
            if (wanted := block[max(0, start - place) : max(0, stop - place)]).size:
                yield wanted
            place += len(block)
            if place >= stop:
                return


class _GivenSound(AudioHandle):
    def __init__(self, samples: Any, rate_hz: Any, label: str, max_seconds: float) -> None:
        values = _waves.array(samples, label)
        _waves.check_rate(rate_hz, label)
        if values.ndim != 1 and not (values.ndim == 2 and 1 <= values.shape[1] <= _MOST_CHANNELS):
            needed = f"needed [n], or [n c] of at most {_MOST_CHANNELS} channels"
            raise MediumError(label, "not_an_audio", f"found samples of the shape {values.shape}, {needed}")
        self._source = values
        facts = _tracks.Facts(int(rate_hz), 1 if values.ndim == 1 else values.shape[1], len(values))
        _check(facts, label, max_seconds)
        super().__init__(label, facts)

    @cached_property
    def _values(self) -> Float32[np.ndarray, "..."]:
        return _waves.full_scale(self._source, self.label)

    @cached_property
    def digest(self) -> str:
        shape = f"{self.channels} channels " if self.channels > 1 else ""
        return hashlib.sha256(f"{self.rate_hz} {shape}".encode() + self._values.tobytes()).hexdigest()

    def _blocks(self, start: int, stop: int) -> Iterator[Float32[np.ndarray, "n c"]]:
        yield self._values.reshape(self.frames, self.channels)[start:stop]


def open_audio(
    source: Any, name: str | None = None, *, max_seconds: float = MAX_SECONDS, max_bytes: int = MAX_BYTES
) -> AudioHandle:
    """Find and check one sound: a file of sound, or the sound of a video. Nothing is decoded.

    Args:
        source: Path, bytes, data URL (base64), `Sound`, a mapping with `array` and `sampling_rate` as Hugging Face's
            data sets have it, or a handle.
        name: What errors call it; by default its path or form.
        max_seconds: Longer sounds are refused by their header, or where it does not tell by their packets.
        max_bytes: Larger files are refused before they are opened.

    Raises:
        MediumError: With the reason `missing`, `unreadable`, `not_a_file`, `empty`, `not_an_audio`, `no_audio`,
            `damaged`, `truncated`, `too_large`, `too_long`, `bad_rate`, `remote`, `bad_data_url` or `unsupported`;
            reading it, also with `not_finite`, `out_of_range` or `changed`.
    """
    if isinstance(source, AudioHandle):
        return source
    if isinstance(source, _binary.Stored):
        return _StoredSound(source, max_seconds)
    label = _binary.label(source, "audio", name)
    if isinstance(source, Mapping) and {"array", "sampling_rate"} <= source.keys():
        return _GivenSound(source["array"], source["sampling_rate"], label, max_seconds)
    if isinstance(source, Sound):
        return _GivenSound(source.values, source.rate_hz, label, max_seconds)
    if _binary.Stored.takes(source):
        return _StoredSound(_binary.Stored(source, label, max_bytes), max_seconds)
    detail = f"found a {type(source).__name__}, needed a path, bytes, data URL, or samples with their rate: a Sound"
    raise MediumError(label, "unsupported", detail)


def read(source: Any, name: str | None = None, **limits: Any) -> Sound:
    """Open and decode one sound, see `open_audio` and `AudioHandle.read`."""
    return open_audio(source, name, **limits).read()


def write(sound: Sound, path: str | os.PathLike[str]) -> None:
    """Write a sound with all its channels in the format that the path's suffix names: WAV as floats, or FLAC.

    Raises:
        MediumError: The suffix names no such format, or the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _WRITTEN:
        detail = f"found the suffix {suffix!r}, needed one of {', '.join(_WRITTEN)}"
        raise MediumError(str(path), "unsupported", detail)
    opened = open_audio(sound)
    values = opened.all_channels()
    try:
        soundfile.write(path, values, opened.rate_hz, subtype=_WRITTEN[suffix])
    except (soundfile.LibsndfileError, OSError) as error:
        raise MediumError(str(path), "unwritable", f"cannot be written: {error}") from error


def _preview(sound: Sound) -> Preview:
    opened = open_audio(sound)
    rate_hz = min(opened.rate_hz, _previews.SOUND_HZ)
    beginning = opened.samples(rate_hz, 0, round(_previews.SOUND_S * rate_hz))
    return _previews.sound(beginning, rate_hz, opened.duration_s)


def _check(facts: _tracks.Facts, label: str, max_seconds: float) -> None:
    _waves.check_rate(facts.rate_hz, label)
    if facts.frames < 1:
        raise MediumError(label, "empty", "holds no samples, needed at least one")
    seconds = facts.frames / facts.rate_hz
    if seconds > max_seconds:
        detail = f"lasts {seconds:,.1f} s, at most {max_seconds:,.0f} s are read; cut it"
        raise MediumError(label, "too_long", detail)


def example(number: int) -> Sound:
    """Noise of a length and rate of its own, the same in every process."""
    size, rate_hz = 6000 + 2100 * number, (16_000, 22_050, 8000)[number % 3]
    return Sound(np.random.default_rng(number).uniform(-0.5, 0.5, size).astype(np.float32), rate_hz)


RECORD = ModalityRecord(
    name="audio",
    plural="audios",
    blocks=("audio_url", "input_audio"),
    placeholder="<audio>",
    signal="[AUD{}]",
    argument="input_features",
    suffixes=_SUFFIXES,
    written=".wav",
    formats=tuple(suffix for suffix in _WRITTEN if suffix != ".wav"),
    describe=(
        "Describe the {modality} briefly.",
        "What can be heard in the {modality}?",
        "Say in one sentence what this {modality} contains.",
        "Give a short caption for the {modality}.",
        "Sum up this {modality} in a few words.",
    ),
    make=(
        "Make this {modality}: {caption}",
        "Create the {modality} that this text describes: {caption}",
        "I would like a new {modality}. In it one hears: {caption}",
    ),
    open=open_audio,
    write=write,
    preview=_preview,
    example=example,
)

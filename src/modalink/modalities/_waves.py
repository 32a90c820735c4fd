"""Samples of every kind made mono, checked, and of another rate."""

from functools import lru_cache
from math import gcd
from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped

from modalink.errors import MediumError, shown

MIN_RATE_HZ, MAX_RATE_HZ = 1000, 384_000
"""Rates that sound has: what is slower is a series of something else, or a broken header."""
_LOUDEST = 16.0
"""Louder than this times full scale (24 dB) are only samples that were never scaled to it."""


def check_rate(rate_hz: Any, label: str) -> None:
    """Refuse a rate that no sound has."""
    if not isinstance(rate_hz, int | np.integer) or not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        needed = f"needed a whole number from {MIN_RATE_HZ:,} to {MAX_RATE_HZ:,}"
        detail = f"has {shown(rate_hz)} samples a second, {needed}; resample it"
        raise MediumError(label, "bad_rate", detail)


def mono(block: Float32[np.ndarray, "n c"], label: str) -> Float32[np.ndarray, " n"]:
    """The mean of the channels.

    Raises:
        MediumError: Samples are not finite, or far beyond full scale.
    """
    peak = float(np.abs(block).max(initial=0.0))  # NaN where one is among them
    if not np.isfinite(peak):
        raise MediumError(label, "not_finite", "holds samples that are NaN or infinite; write it again")
    if peak > _LOUDEST:
        detail = f"holds samples as large as {peak:.6g}, needed -1 to 1; scale it"
        raise MediumError(label, "out_of_range", detail)
    return block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)


def array(values: Any, label: str) -> Shaped[np.ndarray, "..."]:
    """Samples given in whatever holds numbers."""
    try:
        return np.asarray(values)
    except ValueError as error:
        raise MediumError(label, "not_an_audio", f"its samples are no array: {error}") from error


def full_scale(values: Shaped[np.ndarray, "..."], label: str) -> Float32[np.ndarray, "..."]:
    """Samples of any type as floating point, whole numbers scaled so that full scale is 1."""
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):  # `mono` refuses what becomes infinite
            return values.astype(np.float32)
    if values.dtype in (np.int16, np.int32):
        return (values / -float(np.iinfo(values.dtype).min)).astype(np.float32)
    detail = f"found values of type {values.dtype}, needed floats from -1 to 1, int16 or int32"
    raise MediumError(label, "not_an_audio", detail)


def length(frames: int, own_hz: int, rate_hz: int) -> int:
    """How many samples so many become at another rate."""
    return -(-frames * rate_hz // own_hz)


def needed(start: int, stop: int, own_hz: int, rate_hz: int) -> tuple[int, int]:
    """Which own samples decide the resampled ones of a part; the first is also the time of a resampled one."""
    up, down = _ratio(own_hz, rate_hz)
    around = 10 * max(up, down)
    first = max(0, start * down - around) // up // down * down
    return first, (stop * down + around) // up + 1


def resampled(
    part: Float32[np.ndarray, " n"], first: int, start: int, stop: int, own_hz: int, rate_hz: int
) -> Float32[np.ndarray, " m"]:
    """The resampled samples from `start` to `stop`, from the own ones that decide them, which begin at `first`."""
    from scipy.signal import resample_poly

    up, down = _ratio(own_hz, rate_hz)
    offset = first // down * up
    values: Float32[np.ndarray, " m"] = resample_poly(part, up, down, window=_filter(up, down))
    return values[start - offset : stop - offset]


def _ratio(own_hz: int, rate_hz: int) -> tuple[int, int]:
    common = gcd(own_hz, rate_hz)
    return rate_hz // common, own_hz // common


@lru_cache(8)
def _filter(up: int, down: int) -> Float32[np.ndarray, " taps"]:
    """The filter of `resample_poly`, which would design it anew for each sound."""
    from scipy.signal import firwin

    widest = max(up, down)
    taps: Float32[np.ndarray, " taps"]
    taps = firwin(20 * widest + 1, 1 / widest, window=("kaiser", 5.0)).astype(np.float32)
    return taps

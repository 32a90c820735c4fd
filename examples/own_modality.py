"""A modality of your own: series of numbers of any length in `.npy` files, with a preprocessor and an encoder.

They become known to recipes, commands and conversations by the entry points in `examples/pyproject.toml`
(`pip install -e examples`): `--series a.npy`, `{"type": "series", "series": array}`, `kind: spectrum`.
"""

import hashlib
import math
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from modalink.errors import MediumError
from modalink.ragged import Layout
from modalink.roles import BlockEncoder, EncoderConfig, MediumHandle, ModalityRecord, Preprocessor
from modalink.testing import check_modality

WINDOW = 32
"""Numbers of one unit, which becomes one token."""


class SeriesHandle(MediumHandle):
    """A series that was found, and is read when it is asked."""

    def __init__(self, source: Any, label: str) -> None:
        super().__init__(label)
        self.source = source

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.read().tobytes()).hexdigest()

    @property
    def extent(self) -> str:
        return f"{self.length} numbers"

    @property
    def length(self) -> int:
        """How many numbers it has; of a file, by its header."""
        return self._values().size

    def read(self) -> np.ndarray:
        return self._values().astype(np.float32).reshape(-1)

    def _values(self) -> np.ndarray:
        if isinstance(self.source, np.ndarray):
            return self.source
        try:
            return np.load(BytesIO(self.source)) if isinstance(self.source, bytes) else np.load(self.source, "r")
        except (EOFError, OSError, ValueError) as error:
            raise MediumError(self.label, "unreadable", f"{self.label} holds no series: {error}") from error


def open_series(source: Any, name: str | None = None) -> SeriesHandle:
    """A series from an array, a path, or the bytes of a file."""
    if isinstance(source, SeriesHandle):
        return source
    if not isinstance(source, np.ndarray | bytes | str | Path):
        found = type(source).__name__
        raise MediumError(name or "series", "unsupported", f"found a {found}, needed an array, a path or bytes")
    return SeriesHandle(source, name or (str(source) if isinstance(source, str | Path) else "series"))


RECORD = ModalityRecord(
    name="series",
    plural="serieses",
    placeholder="<series>",
    signal="[SERIES{}]",
    argument="series_values",
    suffixes=(".npy",),
    written=".npy",
    describe=("How does the {modality} move?",),
    open=open_series,
    write=lambda values, path: np.save(path, values),
    example=lambda number: np.random.default_rng(number).normal(size=100 + 50 * number).astype(np.float32),
)


class WindowsPreprocessor(Preprocessor):
    """Cuts a series into windows of one length: as many units as the series needs."""

    def layout(self, medium: SeriesHandle) -> Layout:
        """Of the opened series: nothing is decoded yet."""
        return Layout.of_units(_windows(medium.length))

    def __call__(self, medium: np.ndarray) -> Tensor:
        """Of the decoded series."""
        units = _windows(len(medium))
        return torch.from_numpy(np.pad(medium, (0, units * WINDOW - len(medium)))).view(units, WINDOW)

    def to_dict(self) -> dict[str, Any]:
        return {"window": WINDOW}


def _windows(length: int) -> int:
    return max(1, math.ceil(length / WINDOW))


class SpectrumConfig(EncoderConfig):
    """Settings of the spectrum encoder."""

    kind: Literal["spectrum"] = "spectrum"
    checkpoint: str = "none"

    def reads(self) -> frozenset[str]:
        return frozenset({"series"})

    def checkpoints(self) -> tuple[()]:
        """It has no weights."""
        return ()

    def build(self, *, weights: bool = True) -> "SpectrumEncoder":
        return SpectrumEncoder()

    def preprocessor(self) -> WindowsPreprocessor:
        return WindowsPreprocessor()


class SpectrumEncoder(BlockEncoder):
    """One token for each window: how much of each frequency it holds."""

    dim = WINDOW // 2 + 1
    unit_shape = (WINDOW,)
    tokens_per_block = 1

    def encode(self, units: Tensor) -> Tensor:
        return torch.fft.rfft(units.float(), norm="ortho").abs()[:, None]


if __name__ == "__main__":
    check_modality(RECORD)
    print("the modality keeps the promises of its role")

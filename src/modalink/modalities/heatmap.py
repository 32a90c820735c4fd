"""Heat maps: two-dimensional numbers in `.npy` or CSV, seen as colours with their scale, told in words."""

import math
import warnings
from io import BytesIO
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from modalink.files import Damaged
from modalink.modalities import _drawn, _plots

MOST = 4096
"""Most rows, and most columns."""
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
Numbers = Float[np.ndarray, "h w"]


def _parse(content: bytes, damaged: Damaged) -> Numbers:
    values = _array(content, damaged) if content[:6] == b"\x93NUMPY" else _rows(content, damaged)
    if values.ndim != 2 or not values.size or max(values.shape) > MOST:
        raise damaged(f"found an array of shape {values.shape}, needed [rows columns], each 1 to {MOST:,}")
    if not (np.abs(values) <= 1e100).all():
        raise damaged("holds NaN, infinities or numbers beyond 1e100, needed finite ones")
    return values


def _array(content: bytes, damaged: Damaged) -> np.ndarray:
    file = BytesIO(content)
    try:
        # The header alone: numpy takes the memory that it asks for before it looks whether so much follows.
        with warnings.catch_warnings(action="ignore"):
            shape, in_columns, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
        if min(shape, default=0) < 0:
            raise ValueError(f"found the shape {shape}")
        values = np.frombuffer(content, dtype, offset=file.tell())
        values = values.reshape(shape, order="F" if in_columns else "C")
    except Exception as error:  # a broken header fails in many ways: it is parsed as Python's literals
        raise damaged(f"is no whole .npy file of numbers: {error!s:.100}") from None
    if dtype.kind not in "buif":
        raise damaged(f"holds values of type {dtype}, needed numbers")
    return values.astype(np.float64)


def _rows(content: bytes, damaged: Damaged) -> np.ndarray:
    rows = _drawn.csv_rows(content, damaged)
    try:
        return np.array([[float(value) for value in row] for row in rows])
    except ValueError as error:
        raise damaged(f"is no CSV of numbers: {error!s:.100}") from None


def _tell(values: Numbers) -> str:
    """The scale, and the numbers; of many the means of blocks."""
    rows, columns = values.shape
    span = f"{_plots.number(values.min())} (dark blue) to {_plots.number(values.max())} (yellow)"
    text = f"{rows} rows, {columns} columns, from {span}"
    high, wide = (math.ceil(count / 16) for count in values.shape)
    if high * wide > 1:
        padded = np.pad(values, ((0, -rows % high), (0, -columns % wide)), constant_values=np.nan)
        blocks = padded.reshape(padded.shape[0] // high, high, -1, wide)
        values, text = np.nanmean(blocks, (1, 3)), f"{text}; means of blocks of {high} x {wide}"
    return "\n".join([text, *(" ".join(map(_plots.number, row)) for row in values)])


def _form(values: Numbers, suffix: str) -> bytes:
    out: Any = BytesIO()
    np.save(out, values) if suffix == ".npy" else np.savetxt(out, values, "%.17g", ",")
    return bytes(out.getvalue())


def _example(number: int) -> Image.Image:
    return DRAWING.picture(np.random.default_rng(number).normal(size=(8 + number, 6 + 2 * number)))


DRAWING = _drawn.Drawing("heatmap", _parse, _plots.heat, _tell, _form)
RECORD = _drawn.record(DRAWING, _example, (".npy", ".csv"), ".npy")

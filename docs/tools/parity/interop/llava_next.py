"""LLaVA-NeXT: images of one tile, two and four, with a learned token behind each row."""

from collections.abc import Iterator
from pathlib import Path

import released
from torch import Tensor

from modalink.testing.released import tiny_llava_next

TOLERANCE = 2e-5


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Images where they are said."""
    parts = "`tiles` of `vision` (clip), `mlp` with `newline: row`, `splice`, LLaMA"
    yield from released.compared(tiny_llava_next(folder), parts, released.cases_of_places())

"""BLIP-2 with OPT, and with T5."""

from collections.abc import Iterator
from pathlib import Path

import released
from torch import Tensor

from modalink.testing.released_blip import tiny_blip

TOLERANCE = 2e-5


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """An image before each text."""
    for llm in ("opt", "t5"):
        parts = f"`vision` (EVA-g), `q_former`, `splice` with `where: prefix`, {llm.upper()}"
        yield from released.compared(tiny_blip(folder / llm, llm=llm), parts, released.cases_before_text())

"""InstructBLIP with LLaMA, and with T5."""

from collections.abc import Iterator
from pathlib import Path

import released
from torch import Tensor

from modalink.testing.released_blip import tiny_blip

TOLERANCE = 2e-5


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """An image before each text, which its Q-Former reads as well."""
    for llm, name in (("llama", "LLaMA"), ("t5", "T5")):
        parts = f"`vision` (EVA-g), `q_former` with `instruction`, `splice` with `where: prefix`, {name}"
        place = tiny_blip(folder / llm, llm=llm, instruct=True)
        yield from released.compared(place, parts, [c for c in released.cases_before_text() if c[2]])

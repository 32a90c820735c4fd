"""LLaVA-1.5 with CLIP's tower, and LLaVA with SigLIP's."""

from collections.abc import Iterator
from pathlib import Path

import released
from torch import Tensor

from modalink.testing.released import tiny_llava

TOLERANCE = 2e-5


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Images where they are said."""
    for tower in ("clip", "siglip"):
        parts = f"`vision` ({tower}), `mlp`, `splice`, LLaMA"
        yield from released.compared(tiny_llava(folder / tower, tower=tower), parts, released.cases_of_places())

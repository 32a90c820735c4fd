"""LLaVA-1.5 with CLIP's tower, and LLaVA with SigLIP's."""

from collections.abc import Iterator
from pathlib import Path

import released
from torch import Tensor

from modalink.testing.released import tiny_llava

TOLERANCE = 1e-5


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """One picture, several, none, and a batch of different lengths."""
    for tower in ("clip", "siglip"):
        one, two, three = released.pictures((28, 28), (40, 60), (70, 33))
        cases = [
            ("one image", ["USER: <image>\nWhat is it? ASSISTANT:"], {"images": [[one]]}),
            ("text alone", ["USER: No picture at all. ASSISTANT:"], {}),
            (
                "a batch with two images",
                ["USER: <image>\nWhat? ASSISTANT:", "USER: Which is larger, <image> or <image>? ASSISTANT:"],
                {"images": [[one], [two, three]]},
            ),
        ]
        place = tiny_llava(folder / tower, tower=tower)
        yield from released.compared(place, f"`vision` ({tower}), `mlp`, `splice`, LLaMA", cases)

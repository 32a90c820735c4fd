"""LLaVA-OneVision: one image in tiles, also in more than are kept, several images, videos, and both in one batch."""

from collections.abc import Iterator
from pathlib import Path

import released
import torch
from torch import Tensor

from modalink.testing.released import tiny_llava_onevision

TOLERANCE = 2e-5


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Media where they are said; both read the same frames."""
    one, two, three = released.pictures()
    large = torch.randint(0, 256, (80, 84, 3), dtype=torch.uint8).numpy()
    first, second = (torch.randint(0, 256, (3, 28, 28, 3), dtype=torch.uint8).numpy() for _ in range(2))
    images = ["USER: <image>\nWhat? ASSISTANT:", "USER: Which is larger, <image> or <image>? ASSISTANT:"]
    both = ["USER: <video>\nAnd <image>? ASSISTANT:", "USER: Which is larger, <image> or <video>? ASSISTANT:"]
    cases: list[released.Case] = [
        ("one image", ["USER: <image>\nWhat is it? ASSISTANT:"], {"images": [[two]]}),
        ("one of many tiles", ["USER: <image>\nWhat is it? ASSISTANT:"], {"images": [[large]]}),
        ("one video", ["USER: <video>\nWhat is it? ASSISTANT:"], {"videos": [[first]]}),
        ("a batch with two images in a row", images, {"images": [[one], [two, three]]}),
        ("a batch with both", both, {"images": [[one], [two]], "videos": [[first], [second]]}),
    ]
    parts = "`tiles` of `frames` of `vision` (siglip), `mlp` with `shrink` and `newline: tile_row`, `splice`, LLaMA"
    yield from released.compared(tiny_llava_onevision(folder), parts, cases)

"""Video-LLaVA: images, clips of 8 frames, and both in one batch."""

from collections.abc import Iterator
from pathlib import Path

import released
import torch
from torch import Tensor

from modalink.testing.released import tiny_video_llava

TOLERANCE = 2e-5


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Media where they are said; both read the same frames."""
    one, two, _ = released.pictures()
    first, second = (torch.randint(0, 256, (8, 28, 28, 3), dtype=torch.uint8).numpy() for _ in range(2))
    batch = [
        "USER: <video>\nAnd <image>? ASSISTANT:",
        "USER: Which is larger, <image> or what is in <video>? ASSISTANT:",
    ]
    cases: list[released.Case] = [
        ("one image", ["USER: <image>\nWhat is it? ASSISTANT:"], {"images": [[two]]}),
        ("one video", ["USER: <video>\nWhat is it? ASSISTANT:"], {"videos": [[first]]}),
        ("text alone", ["USER: No picture at all. ASSISTANT:"], {}),
        ("a batch with both", batch, {"images": [[one], [two]], "videos": [[first], [second]]}),
    ]
    parts = "`vision` and `frames` (clip), `mlp` for each, `splice`, LLaMA"
    yield from released.compared(tiny_video_llava(folder), parts, cases)

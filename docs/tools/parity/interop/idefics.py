"""IDEFICS with a resampler, and without one."""

from collections.abc import Iterator
from pathlib import Path

import released
from torch import Tensor

from modalink.testing.released_idefics import tiny_idefics

TOLERANCE = 2e-5


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Images where they are said, outside the text; tokens read the last one before them."""
    one, two, three = released.pictures()
    batch = [
        "No picture yet.<image>And then one.",
        "User:<image>This.\nAssistant: A cube.\nUser:<image>Which is larger?",
    ]
    cases: list[released.Case] = [
        ("one image", ["User:<image>What is it?\nAssistant:"], {"images": [[two]]}),
        ("text alone", ["No picture at all."], {}),
        ("a batch with two images in a row", batch, {"images": [[one], [two, three]]}),
    ]
    for name, resampler in (("perceiver", True), ("identity", False)):
        parts = f"`vision` (clip), `{name}`, `gated_cross_attention` with `norm: rms`, `gated`, LLaMA"
        yield from released.compared(tiny_idefics(folder / name, resampler=resampler), parts, cases)

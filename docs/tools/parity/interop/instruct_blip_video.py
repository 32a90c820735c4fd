"""InstructBLIP for videos with LLaMA, and with T5."""

from collections.abc import Iterator
from pathlib import Path

import released
import torch
from torch import Tensor

from modalink.testing.released_blip import tiny_blip

TOLERANCE = 2e-5


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """A video before each text, which its Q-Former reads as well; both read the same frames."""
    clips = [torch.randint(0, 256, (4, 28, 28, 3), dtype=torch.uint8).numpy() for _ in range(2)]
    batch = ["<video>What?", "<video>Question: which is longer? Answer:"]
    cases: list[released.Case] = [
        ("one video", ["<video>Question: what is it? Answer:"], {"videos": [clips[:1]]}),
        ("a batch", batch, {"videos": [clips[:1], clips[1:]]}),
    ]
    for llm, name in (("llama", "LLaMA"), ("t5", "T5")):
        parts = f"`frames` of `vision` (EVA-g), `q_former` with `instruction`, `splice` with `where: prefix`, {name}"
        yield from released.compared(tiny_blip(folder / llm, llm=llm, video=True), parts, cases)

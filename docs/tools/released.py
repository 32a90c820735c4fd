"""Released models, tiny: what transformers' own class says of texts and media, and what the imported one says."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modalink.testing.released_pair import ReleasedPair

Case = tuple[str, Sequence[str], dict[str, Any]]
"""What it is, texts with placeholders, and the media for them by the processor's names."""


def compared(folder: Path, parts: str, cases: Sequence[Case]) -> Iterator[tuple[str, Tensor, Tensor]]:
    """The logits of both, of all tokens that are no padding, and padding is on the left.

    Args:
        folder: A checkpoint with model and processor.
        parts: The recipe's parts, in words.
        cases: What is compared.
    """
    pair = ReleasedPair.of(folder)
    found, expected = zip(*(pair.logits(*pair.inputs(texts, **media)) for _, texts, media in cases), strict=True)
    name = type(pair.native).__name__
    yield f"`{name}`: {parts}; {', '.join(case[0] for case in cases)}", torch.cat(found), torch.cat(expected)


def pictures() -> list[Any]:
    """Three random pictures of different shapes, `[h w c]`, 8 bits."""
    shapes = ((28, 28), (40, 60), (70, 33))
    return [torch.randint(0, 256, (height, width, 3), dtype=torch.uint8).numpy() for height, width in shapes]


def cases_of_places() -> list[Case]:
    """Media where they are said: one, none, and a batch of different lengths with two in one text."""
    one, two, three = pictures()
    batch = ["USER: <image>\nWhat? ASSISTANT:", "USER: Which is larger, <image> or <image>? ASSISTANT:"]
    return [
        ("one image", ["USER: <image>\nWhat is it? ASSISTANT:"], {"images": [[two]]}),
        ("text alone", ["USER: No picture at all. ASSISTANT:"], {}),
        ("a batch with two images in a row", batch, {"images": [[one], [two, three]]}),
    ]


def cases_before_text() -> list[Case]:
    """An image before each text: one, none, and a batch of different lengths."""
    one, two, _ = pictures()
    batch = ["<image>What?", "<image>Question: which is larger? Answer:"]
    return [
        ("one image", ["<image>Question: what is it? Answer:"], {"images": [[two]]}),
        ("text alone", ["No picture at all."], {}),
        ("a batch", batch, {"images": [[one], [two]]}),
    ]

"""Released models, tiny: what transformers' own class says of texts and media, and what the imported one says."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import AutoProcessor

from modalink import hub
from modalink.interop.importing import recipe_of
from modalink.model import compose

Case = tuple[str, Sequence[str], dict[str, Any]]
"""What it is, texts with placeholders, and the media for them by the processor's names."""


def compared(folder: Path, parts: str, cases: Sequence[Case]) -> Iterator[tuple[str, Tensor, Tensor]]:
    """The logits of both, of all tokens that are no padding, and padding is on the left.

    Args:
        folder: A checkpoint with model and processor.
        parts: The recipe's parts, in words.
        cases: What is compared.
    """
    name = hub.architecture(str(folder)).architectures[0]
    native = getattr(transformers, name).from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder, backend="pil")
    system = compose(recipe_of(str(folder)))
    options: dict[str, Any] = {"padding": True, "padding_side": "left", "return_tensors": "pt"}
    found, expected = [], []
    for _, texts, media in cases:
        theirs, ours = (
            processor(text=list(texts), **media, **options),
            system.processor(text=list(texts), **media, **options),
        )
        found.append(system.model(**ours).logits[ours["attention_mask"].bool()].flatten())
        expected.append(native(**theirs).logits[theirs["attention_mask"].bool()].flatten())
    yield f"`{name}`: {parts}; {', '.join(case[0] for case in cases)}", torch.cat(found), torch.cat(expected)


def pictures(*shapes: tuple[int, int]) -> list[Tensor]:
    """Random pictures of these heights and widths, `[h w c]`, 8 bits."""
    return [torch.randint(0, 256, (height, width, 3), dtype=torch.uint8).numpy() for height, width in shapes]

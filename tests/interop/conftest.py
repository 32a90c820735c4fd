"""A released checkpoint twice: by the classes of transformers, and imported."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from transformers import AutoProcessor

from modalink import hub
from modalink.interop.importing import recipe_of
from modalink.model import System, compose


@dataclass
class Pair:
    """The same checkpoint by transformers and by modalink."""

    native: Any
    processor: Any
    system: System

    def inputs(self, texts: list[str], **media: Any) -> tuple[Any, Any]:
        """What either processor makes of texts and the media in them, padded on the left."""
        options = {"padding": True, "padding_side": "left", "return_tensors": "pt"}
        return self.processor(text=texts, **media, **options), self.system.processor(text=texts, **media, **options)

    @torch.no_grad()
    def difference(self, theirs: Any, ours: Any) -> float:
        """The largest difference of a logit where there is no padding."""
        found, needed = self.system.model(**ours).logits, self.native(**theirs).logits
        there = theirs["attention_mask"].bool()
        return float((found[ours["attention_mask"].bool()] - needed[there]).abs().max())

    def generated(self, theirs: Any, ours: Any, **options: Any) -> tuple[list[str], list[str]]:
        """The texts that either writes."""
        options = {"max_new_tokens": 12, "do_sample": False} | options
        found, needed = self.system.model.generate(**ours, **options), self.native.generate(**theirs, **options)
        decode = self.processor.tokenizer.batch_decode
        return decode(found[:, ours["input_ids"].shape[1] :]), decode(needed[:, theirs["input_ids"].shape[1] :])


@pytest.fixture
def pair():
    """Makes the pair of a folder."""

    def both(folder: Path) -> Pair:
        kind = getattr(transformers, hub.architecture(str(folder)).architectures[0])
        native = kind.from_pretrained(folder).eval()
        processor = AutoProcessor.from_pretrained(folder, backend="pil")
        return Pair(native, processor, compose(recipe_of(str(folder))))

    return both


@pytest.fixture
def pictures() -> list[Image.Image]:
    """Three pictures of different shapes."""
    torch.manual_seed(0)
    return [
        Image.fromarray(torch.randint(0, 256, (height, width, 3), dtype=torch.uint8).numpy())
        for height, width in ((28, 28), (40, 60), (70, 33))
    ]

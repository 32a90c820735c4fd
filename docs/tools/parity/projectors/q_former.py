"""The Q-Former: transformers' BLIP-2 and InstructBLIP, whole, through folders that `save_pretrained` wrote."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    Blip2ForConditionalGeneration,
    InstructBlipForConditionalGeneration,
    InstructBlipVideoForConditionalGeneration,
    T5Config,
)

from modalink.projectors.inputs.q_former import QFormerConfig
from modalink.ragged import Layout, Ragged
from modalink.testing.checkpoints import tiny_blip2

TOLERANCE = 1e-5
"""Masks take another kernel of attention."""
_T5 = T5Config(d_model=24, d_kv=6, d_ff=32, num_layers=1, num_decoder_layers=1, num_heads=4, vocab_size=400)
_WORDS = [[5, 6, 7, 8], [9, 10]]


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Two pictures; with InstructBLIP, each beside words of another length."""
    pictures = torch.randn(2, 3, 32, 32)
    for name, text in (("OPT", None), ("T5", _T5)):
        place = tiny_blip2(folder / name, text=text)
        reference = Blip2ForConditionalGeneration.from_pretrained(place).eval()
        expected = reference.get_image_features(pictures).pooler_output
        found = projected(place, reference, pictures, expected.shape[-1])
        yield f"transformers' `Blip2ForConditionalGeneration` with {name}", found, expected
    ids = torch.tensor([[*words, *[0] * (4 - len(words))] for words in _WORDS])
    mask = torch.tensor([[1] * (5 + len(words)) + [0] * (4 - len(words)) for words in _WORDS])
    for model in (InstructBlipForConditionalGeneration, InstructBlipVideoForConditionalGeneration):
        place = tiny_blip2(folder / model.__name__, model)
        reference = model.from_pretrained(place).eval()
        states = reference.vision_model(pictures).last_hidden_state
        queries = reference.query_tokens.expand(2, -1, -1)
        output = reference.qformer(ids, mask, query_embeds=queries, encoder_hidden_states=states).last_hidden_state
        found = projected(place, reference, pictures, 32, instruction=True)
        yield f"transformers' `{model.__name__}`", found, reference.language_projection(output[:, :5])


def projected(place: Path, reference: Any, pictures: Tensor, width: int, *, instruction: bool = False) -> Tensor:
    """What the projector of a folder makes of what the reference's tower gives."""
    states = reference.vision_model(pictures).last_hidden_state
    layouts = (Layout(1, (states.shape[1],)),) * len(states)
    features = Ragged(states.flatten(0, 1), (states.shape[1],) * len(states), layouts)
    sizes = {"width": 16, "layers": 3, "heads": 4, "feed_forward": 32, "queries": 5}
    vocabulary = reference.config.qformer_config.vocab_size
    config = QFormerConfig(
        checkpoint=str(place), exit="checkpoint", instruction=instruction, vocabulary=vocabulary, **sizes
    )
    ours = config.build(dim_in=32, dim_out=width, example=layouts[0]).eval()
    config.borrow(ours, config.borrowed())
    words = torch.tensor([word for text in _WORDS for word in text])
    texts = Ragged(words, (4, 2), (Layout.of_units(4), Layout.of_units(2)))
    return ours(features, texts if instruction else None).stack()

"""A text model of transformers, of a BERT without its pooler, of sentences of two lengths."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoTokenizer, BertModel

from modalink.encoders.text import TextModelConfig
from modalink.modalities.sentence import Sentence
from modalink.ragged import Ragged
from modalink.testing import checkpoints

TOLERANCE = 1e-5
"""Padding takes another kernel of attention."""


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Two sentences: their class vectors."""
    place = checkpoints.tiny_bert(folder)
    texts = ["a red cube", "Question: how many objects are there?"]
    config = TextModelConfig(checkpoint=str(place))
    preprocess = config.preprocessor()
    sentences = [Sentence(text) for text in texts]
    items = Ragged.of([preprocess(s) for s in sentences], [preprocess.layout(s) for s in sentences])
    bert, read = BertModel.from_pretrained(place, add_pooling_layer=False).eval(), AutoTokenizer.from_pretrained(place)
    states = [bert(**read(text, return_tensors="pt")).last_hidden_state[0, 0] for text in texts]
    yield "transformers' `BertModel`, its class vector", config.build()(items).values, torch.stack(states)

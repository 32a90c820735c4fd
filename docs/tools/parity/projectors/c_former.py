"""The C-Former behind its integrate-and-fire: transformers' `BertModel` between X-LLM's two maps."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from transformers import BertConfig, BertModel

from modalink.projectors.inputs._integrate_and_fire import integrate_and_fire
from modalink.projectors.inputs.c_former import CFormer, CFormerConfig
from modalink.ragged import Layout, Ragged

TOLERANCE = 1e-5
"""The reference computes attention in another order."""
NAMES = {
    "self_attn.out_proj": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "linear1": "intermediate.dense",
    "linear2": "output.dense",
    "norm2": "output.LayerNorm",
}
"""Modules of a block here -> those of BERT's."""


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Sounds of two lengths, the second in two windows."""
    bert = BertModel(
        BertConfig(hidden_size=16, num_attention_heads=4, num_hidden_layers=2, intermediate_size=32),
        add_pooling_layer=False,
    ).eval()
    config = CFormerConfig(width=16, layers=2, heads=4, feed_forward=32, every=3, positions=64)
    ours = config.build(dim_in=12, dim_out=20, example=Layout(1, (9,))).eval()
    share(bert, ours)
    windows, layouts = torch.randn(3, 9, 12), (Layout(1, (9,)), Layout(2, (9, 9)))
    tokens = integrate_and_fire(windows, ours.weights(windows), [3] * 3)
    expected = ours.exit(bert(inputs_embeds=ours.entry(tokens).relu()).last_hidden_state).relu()
    found = ours(Ragged(windows.flatten(0, 1), (9, 18), layouts)).values
    yield "transformers' `BertModel` between two maps", found, expected.flatten(0, 1)


def share(bert: BertModel, ours: CFormer) -> None:
    """Give the C-Former the weights of a BERT, whose words are all of one type."""
    words = bert.embeddings
    ours.positions.weight.copy_(words.position_embeddings.weight[:64] + words.token_type_embeddings.weight[0])
    ours.norm.load_state_dict(words.LayerNorm.state_dict())
    for block, theirs in zip(ours.blocks.layers, bert.encoder.layer, strict=True):
        for name, other in NAMES.items():
            block.get_submodule(name).load_state_dict(theirs.get_submodule(other).state_dict())
        attention = theirs.attention.self
        for kind in ("weight", "bias"):
            three = [getattr(getattr(attention, name), kind) for name in ("query", "key", "value")]
            getattr(block.self_attn, f"in_proj_{kind}").copy_(torch.cat(three))

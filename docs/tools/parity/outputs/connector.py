"""The connector: the numbers of MetaQuery's code, facebookresearch/metaquery@206f6de.

They were made so: `connector` of models/model.py with two layers of width 32 with heads of 8, then 12 wide, in float64,
each tensor a wave by its number, see `_waves`. Names and shapes are in `connector.json`, and what it made.
"""

import json
from collections.abc import Iterator
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from modalink.projectors.outputs.connector import ConnectorConfig

TOLERANCE = 1e-5
"""The numbers are rounded."""
_NAMES = {
    "0.layers.": "encoder.",
    "self_attn.q_proj": "query",
    "self_attn.k_proj": "key",
    "self_attn.v_proj": "value",
    "self_attn.o_proj": "out",
    "self_attn.q_norm.gamma": "query_norm",
    "self_attn.k_norm.gamma": "key_norm",
    "post_attention_layernorm": "before_mlp",
    "input_layernorm": "before_attention",
}
"""What the authors call the parts -> what they are called here."""


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Two items of five queries."""
    numbers = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    ours = ConnectorConfig(layers=2, head_width=8).build(dim_in=32, dim_out=12, tokens_in=5, tokens_out=5).double()
    state = {}
    for number, (name, shape) in enumerate(numbers["tensors"].items()):
        own = name if name.startswith("0.") else f"exit.{int(name[0]) - 1}{name[1:]}"
        for theirs, here in _NAMES.items():
            own = own.replace(theirs, here)
        gain = name.endswith(("norm.weight", "gamma")) or name == "4.weight"
        state[own] = _waves(shape, number) * 0.3 + gain
    ours.load_state_dict(state)
    found = ours(torch.stack([_waves([5, 32], 100), _waves([5, 32], 101)]))
    yield "MetaQuery's code", found, torch.tensor(numbers["conditions"], dtype=torch.float64)


def _waves(shape: list[int], number: int) -> Tensor:
    return torch.sin(torch.arange(prod(shape), dtype=torch.float64) * 0.7 + number).view(shape)

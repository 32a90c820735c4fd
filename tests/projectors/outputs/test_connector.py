"""MetaQuery's connector gives the numbers of its authors' code.

`connector.json` holds what facebookresearch/metaquery@206f6de made (`connector` of models/model.py: two layers of width
32 with heads of 8, then 12 wide, in float64), each tensor a wave by its number, see `waves`.
"""

import json
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from modalink.errors import PartError
from modalink.projectors.outputs.connector import ConnectorConfig
from modalink.testing import check_output_projector

SMALL: dict[str, Any] = {"layers": 2, "head_width": 8}
NAMES = {
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


def waves(shape: list[int], number: int) -> Tensor:
    return torch.sin(torch.arange(prod(shape), dtype=torch.float64) * 0.7 + number).view(shape)


def test_it_keeps_the_promises_of_its_role() -> None:
    check_output_projector(ConnectorConfig(**SMALL), dim_in=16, tokens_in=6, tokens_out=6)


def test_it_gives_the_numbers_of_its_authors_code() -> None:
    numbers = json.loads(Path(__file__).with_name("connector.json").read_text())
    ours = ConnectorConfig(**SMALL).build(dim_in=32, dim_out=12, tokens_in=5, tokens_out=5).double()
    state = {}
    for number, (name, shape) in enumerate(numbers["tensors"].items()):
        own = name if name.startswith("0.") else f"exit.{int(name[0]) - 1}{name[1:]}"
        for theirs, here in NAMES.items():
            own = own.replace(theirs, here)
        gain = name.endswith(("norm.weight", "gamma")) or name == "4.weight"
        state[own] = waves(shape, number) * 0.3 + gain
    ours.load_state_dict(state)
    found = ours(torch.stack([waves([5, 32], 100), waves([5, 32], 101)]))
    torch.testing.assert_close(found, torch.tensor(numbers["conditions"], dtype=torch.float64), rtol=1e-5, atol=1e-5)


def test_every_query_reads_those_behind_it_too() -> None:
    projector = ConnectorConfig(**SMALL).build(dim_in=16, dim_out=5, tokens_in=4, tokens_out=4)
    states = torch.randn(1, 4, 16)
    changed = states.clone()
    changed[:, 3] += 1
    assert ((projector(states) - projector(changed)).abs().amax(dim=2) > 0).all()


@pytest.mark.parametrize(
    ("dim_in", "dim_out", "tokens", "size"), [(896, 768, 77, 309_712_128), (896, 2304, 256, 315_811_584)]
)
def test_its_size(dim_in: int, dim_out: int, tokens: int, size: int) -> None:
    """Of the authors' configurations llavaov0p5_sd and llavaov0p5_sana."""
    with torch.device("meta"):
        projector = ConnectorConfig().build(dim_in=dim_in, dim_out=dim_out, tokens_in=tokens, tokens_out=tokens)
    assert sum(parameter.numel() for parameter in projector.parameters()) == size


def test_the_last_norm_starts_at_the_scale_of_the_generators_own_conditions() -> None:
    config = ConnectorConfig(**SMALL, scale=5.5**0.5)
    made = config.build(dim_in=16, dim_out=64, tokens_in=3, tokens_out=3)(torch.randn(2, 3, 16))
    torch.testing.assert_close(made.square().mean(-1), torch.full((2, 3), 5.5), rtol=0.05, atol=0)


@pytest.mark.parametrize(
    ("tokens_in", "settings", "message"),
    [
        (4, SMALL, "found 4 states for 6 conditions, needed one for each; set signal_tokens: 6"),
        (6, {"head_width": 5}, "found head_width 5, needed an even divisor of the LLM's 16"),
    ],
)
def test_what_cannot_be_built_is_refused(tokens_in: int, settings: dict[str, int], message: str) -> None:
    with pytest.raises(PartError, match=message):
        ConnectorConfig(**settings).build(dim_in=16, dim_out=5, tokens_in=tokens_in, tokens_out=6)

"""MetaQuery's connector. That its numbers are those of its authors' code, `docs/tools/parity/outputs/connector.py` holds."""

from typing import Any

import pytest
import torch

from modalink.errors import PartError
from modalink.projectors.outputs.connector import ConnectorConfig
from modalink.testing import check_output_projector

SMALL: dict[str, Any] = {"layers": 2, "head_width": 8}


def test_it_keeps_the_promises_of_its_role() -> None:
    check_output_projector(ConnectorConfig(**SMALL), dim_in=16, tokens_in=6, tokens_out=6)


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

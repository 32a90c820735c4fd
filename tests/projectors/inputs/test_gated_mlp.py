"""The gated MLP, and the learned tokens around a picture.

That its numbers are those of CogVLM and GLM-4V, `docs/tools/parity/projectors/gated_mlp.py` holds.
"""

from typing import Any

import pytest
import torch

from modalink.projectors.inputs._newlines import Start, started_layout
from modalink.projectors.inputs.gated_mlp import GatedMlpConfig
from modalink.ragged import Layout, Ragged
from modalink.testing import check_input_projector


@pytest.mark.parametrize(
    "settings",
    [{}, {"start": True, "newline": "item"}, {"start": True, "newline": "row", "join": {"tokens": 4}}],
)
def test_it_keeps_the_promises_of_its_role(settings: dict[str, Any]) -> None:
    layouts = (Layout(1, (16,), (4, 4)), Layout(2, (16, 16), (4, 4), times_s=(0.0, 1.0)))
    check_input_projector(GatedMlpConfig.model_validate({"feed_forward": 16, **settings}), layouts=layouts)


def test_a_token_stands_in_front_of_each_item() -> None:
    """Items `1 2 3` in two blocks, and `4`; the token is 0."""
    items = [Layout(2, (2, 1), times_s=(0.0, 1.0)), Layout(1, (1,), (1, 1))]
    start = Start(1)
    torch.nn.init.zeros_(start.token)
    found = start(Ragged(torch.arange(1.0, 5)[:, None], (3, 1), tuple(items)))
    assert found.values[:, 0].tolist() == [0, 1, 2, 3, 0, 4]
    assert found.layouts == (Layout(2, (3, 1), times_s=(0.0, 1.0)), Layout(1, (2,)))
    tiles = Layout(3, (4, 2, 2), grids=((2, 2), (1, 2), (2, 1)), tiles=(1, 2))
    assert started_layout(tiles) == Layout(3, (5, 2, 2), tiles=(1, 2))


def test_its_size() -> None:
    """CogVLM's adapter: 140 million in the paper's table of ablations."""
    config = GatedMlpConfig(start=True, newline="item")
    with torch.device("meta"):
        projector = config.build(dim_in=1792, dim_out=4096, example=Layout(1, (1225,), (35, 35)))
    count = sum(parameter.numel() for parameter in projector.parameters())
    assert count == 142_622_720 == pytest.approx(140e6, rel=0.02)
    assert config.layout(Layout(1, (1225,), (35, 35))) == Layout(1, (1227,))
    assert config.tiny() == GatedMlpConfig(feed_forward=256, start=True, newline="item")

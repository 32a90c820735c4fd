"""Qwen-VL's adapter: queries on a grid, and places in two dimensions.

That its numbers are those of Qwen-VL's code, `docs/tools/parity/projectors/cross_attention.py` holds.
"""

from typing import Any

import pytest
import torch

from modalink.errors import PartError
from modalink.projectors.inputs.cross_attention import CrossAttentionConfig, places
from modalink.ragged import Layout, Ragged
from modalink.testing import check_input_projector

IMAGE = Layout(1, (16,), (4, 4))


@pytest.mark.parametrize(
    "settings",
    [{"side": 3, "heads": 4}, {"side": 4, "heads": 2, "width": 12, "positions": {"form": "sinusoidal"}}],
)
def test_it_keeps_the_promises_of_its_role(settings: dict[str, Any]) -> None:
    tiles = Layout(3, (4, 6, 6), grids=((2, 2), (2, 3), (3, 2)))
    layouts = (IMAGE, Layout(2, (16, 16), (4, 4), times_s=(0.0, 1.0)), Layout(1, (16,), (2, 8)), tiles)
    check_input_projector(CrossAttentionConfig.model_validate(settings), layouts=layouts)


def test_places_are_of_columns_then_of_rows() -> None:
    """A grid of 2 x 2 and a width of 4: sine and cosine of the column, sine and cosine of the row."""
    sine, cosine = 0.8415, 0.5403
    expected = [[0, 1, 0, 1], [sine, cosine, 0, 1], [0, 1, sine, cosine], [sine, cosine] * 2]
    assert torch.allclose(places(2, 4), torch.tensor(expected), atol=1e-4)
    assert places(3, 7).shape == (9, 7)


def test_tokens_of_another_grid_have_places_between_those_of_the_queries() -> None:
    """Four columns on two: the first is a little before the queries' first, the second a little behind it."""
    projector = CrossAttentionConfig(side=2, heads=1).build(dim_in=4, dim_out=4, example=IMAGE)
    found = projector.places_of(Ragged(torch.zeros(24, 4), (16, 8), (IMAGE, Layout(2, (4, 4), (2, 2)))))
    assert torch.equal(found[16:], places(2, 4).repeat(2, 1))
    sines = found[:4, 0]
    assert (sines.diff() > 0).all() and sines[0] < 0 < sines[1]
    assert sines.mean().item() == pytest.approx(places(2, 4)[:2, 0].mean().item(), abs=1e-5)


def test_where_a_token_lies_matters() -> None:
    projector = CrossAttentionConfig(side=2, heads=1).build(dim_in=4, dim_out=4, example=IMAGE)
    features = torch.randn(16, 4)
    there, back = (projector(Ragged(f, (16,), (IMAGE,))).values for f in (features, features.flip(0)))
    assert not torch.allclose(there, back, atol=1e-3)


def test_prompt_tokens_lie_on_the_grid_of_the_queries() -> None:
    assert CrossAttentionConfig().layout(Layout(1, (1024,), (32, 32))) == Layout(1, (256,), (16, 16))
    with pytest.raises(PartError, match="found tokens without a grid, needed rows and columns"):
        CrossAttentionConfig().layout(Layout(1, (257,)))


def test_its_size() -> None:
    """Qwen-VL's, 0.08 billion in its paper without the last map, of 16.8 million; Monkey says 90 million with it."""
    with torch.device("meta"):
        projector = CrossAttentionConfig().build(dim_in=1664, dim_out=4096, example=Layout(1, (1024,), (32, 32)))
    count = sum(parameter.numel() for parameter in projector.parameters())
    assert count == 91_791_360
    assert count - projector.exit.numel() == 75_014_144


def test_tiny_and_refused() -> None:
    with pytest.raises(PartError, match="cross_attention: found width 4096, needed a multiple of heads = 30"):
        CrossAttentionConfig(heads=30).build(dim_in=8, dim_out=4096, example=IMAGE)
    assert CrossAttentionConfig().tiny() == CrossAttentionConfig(side=4, width=128, heads=4)

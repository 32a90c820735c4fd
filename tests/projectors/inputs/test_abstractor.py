"""The visual abstractor: queries, and a token that ends each item.

That its numbers are those of mPLUG-Owl, `docs/tools/parity/projectors/abstractor.py` holds.
"""

from typing import Any

import pytest
import torch

from modalink.errors import PartError
from modalink.projectors.inputs.abstractor import AbstractorConfig
from modalink.ragged import Layout, Ragged
from modalink.testing import check_input_projector

SMALL: dict[str, Any] = {"queries": 5, "layers": 2, "heads": 4, "feed_forward": 16}
IMAGE = Layout(1, (16,), (4, 4))


@pytest.mark.parametrize("settings", [{}, {"width": 8, "end": False, "dropout": 0.5, "positions": {"most": 2}}])
def test_it_keeps_the_promises_of_its_role(settings: dict[str, Any]) -> None:
    layouts = (IMAGE, Layout(2, (6, 6), (2, 3), times_s=(0.0, 1.0)), Layout(1, (5,)))
    check_input_projector(AbstractorConfig.model_validate({**SMALL, **settings}), layouts=layouts)


def test_each_item_ends_with_the_same_learned_token() -> None:
    config = AbstractorConfig(**SMALL)
    projector = config.build(dim_in=12, dim_out=20, example=IMAGE).eval()
    found = projector(Ragged(torch.randn(21, 12), (16, 5), (IMAGE, Layout(1, (5,)))))
    assert found.layouts == (Layout(1, (6,)),) * 2
    for item in found:
        assert torch.equal(item[-1], projector.end) and not torch.allclose(item[0], projector.end)
    assert AbstractorConfig().layout(IMAGE) == Layout(1, (65,))  # the paper's 64 and the end


def test_its_size() -> None:
    """By mPLUG-Owl's code, for LLaMA-7B."""
    with torch.device("meta"):
        projector = AbstractorConfig().build(dim_in=1024, dim_out=4096, example=Layout(1, (257,)))
    assert sum(parameter.numel() for parameter in projector.parameters()) == 105_097_216


def test_attention_weights_are_dropped_in_training_alone() -> None:
    projector = AbstractorConfig(**SMALL, dropout=0.5).build(dim_in=12, dim_out=20, example=IMAGE)
    items = Ragged(torch.randn(16, 12), (16,), (IMAGE,))
    for training in (True, False):
        projector.train(training)
        assert torch.equal(projector(items).values, projector(items).values) != training


def test_a_width_that_heads_cannot_share_is_refused() -> None:
    with pytest.raises(PartError, match="abstractor: found width 10, needed a multiple of heads = 4"):
        AbstractorConfig(**SMALL).build(dim_in=10, dim_out=20, example=IMAGE)
    assert AbstractorConfig(width=1000, heads=10).tiny() == AbstractorConfig(
        width=128, heads=4, queries=16, layers=2, feed_forward=256
    )

"""Grouping: each token is given to one concept; noise in training alone.

That its numbers are those of NExT-GPT's code, `docs/tools/parity/projectors/grouping.py` holds.
"""

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from modalink.errors import PartError
from modalink.projectors.inputs.grouping import GroupingConfig
from modalink.ragged import Layout, Ragged
from modalink.testing import check_input_projector

SMALL: dict[str, Any] = {"width": 16, "heads": 4, "depths": (2, 1, 1), "groups": (6, 4), "feed_forward": 24}
IMAGE = Layout(1, (16,), (4, 4))


def size(config: GroupingConfig) -> int:
    with torch.device("meta"):
        projector = config.build(dim_in=1024, dim_out=4096, example=IMAGE)
    return sum(parameter.numel() for parameter in projector.parameters())


@pytest.mark.parametrize("settings", [{}, {"depths": (1, 1), "groups": (3,), "width": 12, "positions": {"most": 2}}])
def test_it_keeps_the_promises_of_its_role(settings: dict[str, Any]) -> None:
    layouts = (IMAGE, Layout(2, (6, 6), (2, 3), times_s=(0.0, 1.0)), Layout(1, (5,)))
    check_input_projector(GroupingConfig.model_validate({**SMALL, **settings}), layouts=layouts)


def test_each_token_is_given_to_one_concept_and_the_gradient_is_the_soft_one() -> None:
    """Three tokens and two concepts; the second token fits the second concept."""
    gather = GroupingConfig(**SMALL).build(dim_in=12, dim_out=20, example=IMAGE).eval().stages[0].gather
    fit = torch.tensor([[[2.0, 0.0, 5.0], [1.0, 1.0, -5.0]]], requires_grad=True)
    shares = gather.shares(fit)
    assert torch.allclose(shares, torch.tensor([[[1.0, 0, 1], [0, 1, 0]]]))
    (found,) = torch.autograd.grad(shares[0, 0, 0], fit)
    (soft,) = torch.autograd.grad(fit.softmax(1)[0, 0, 0], fit)
    assert torch.equal(found, soft) and found.any()


def test_the_choice_is_noisy_in_training_alone() -> None:
    gather = GroupingConfig(**SMALL).build(dim_in=12, dim_out=20, example=IMAGE).stages[0].gather
    fit = torch.zeros(1, 4, 200)
    noisy, again = gather.shares(fit), gather.shares(fit)
    assert not torch.equal(noisy, again) and torch.allclose(noisy.sum(1), torch.ones(1, 200))
    assert torch.equal(gather.eval().shares(fit), gather.shares(fit))


def test_what_fills_a_batch_is_given_to_nobody() -> None:
    """With 2 tokens beside 16, the means are those of the item alone, also in the second stage."""
    projector = GroupingConfig(**SMALL).build(dim_in=12, dim_out=20, example=IMAGE).eval()
    small, features = Layout(1, (2,)), torch.randn(18, 12)
    both = list(projector(Ragged(features, (16, 2), (IMAGE, small))))
    assert torch.allclose(both[1], projector(Ragged(features[16:], (2,), (small,))).values, atol=1e-5)


def test_sizes() -> None:
    """By NExT-GPT's code; the paper's 28 million with one grouping and blocks of 3 before and behind it."""
    assert size(GroupingConfig()) == 53_144_912
    assert size(GroupingConfig(depths=(3, 3), groups=(8,))) == pytest.approx(28e6, rel=0.01)
    assert GroupingConfig().layout(Layout(1, (256,), (16, 16))) == Layout(1, (8,))


def test_meaningless_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="found 2 depths and 2 groups, needed one stage more than groups"):
        GroupingConfig(depths=(3, 3))
    for settings in ({"depths": (), "groups": ()}, {"depths": (0, 1, 1)}, {"groups": (64, 0)}):
        with pytest.raises(ValidationError):
            GroupingConfig.model_validate(settings)
    with pytest.raises(PartError, match="grouping: found width 10, needed a multiple of heads = 4"):
        GroupingConfig(**{**SMALL, "width": 10}).build(dim_in=12, dim_out=20, example=IMAGE)
    assert GroupingConfig().tiny() == GroupingConfig(
        width=128, heads=4, depths=(1, 1, 1), groups=(16, 8), feed_forward=256
    )

"""The flow link: a condition is drawn from noise, and what is drawn is distributed as what was learned."""

from typing import Any

import pytest
import torch

from modalink.errors import PartError
from modalink.projectors.outputs.flow import FlowConfig, FlowProjector

SMALL: dict[str, Any] = {"width": 16, "layers": 1, "heads": 2, "feed_forward": 24, "steps": 8}


def new(**changes: int) -> FlowProjector:
    torch.manual_seed(0)
    config = FlowConfig.model_validate(SMALL | changes)
    return config.build(dim_in=8, dim_out=3, tokens_in=2, tokens_out=2)


def sources(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_each_item_is_drawn_from_its_own_source_alone_as_beside_others() -> None:
    projector, states = new().double(), torch.randn(3, 2, 8, dtype=torch.float64)
    together = projector.draw(states, sources(1, 2, 1))
    for item, seed in enumerate((1, 2, 1)):
        alone = projector.draw(states[item : item + 1], sources(seed))
        torch.testing.assert_close(together[item : item + 1], alone, rtol=1e-9, atol=1e-9)
    same = projector.draw(states[:1].expand(2, -1, -1), sources(1, 2))
    assert (same[0] - same[1]).abs().min() > 1e-3
    torch.testing.assert_close(projector(states), projector(states), rtol=0, atol=0)


def test_steps_follow_the_velocity() -> None:
    """With a velocity that is the same everywhere, a condition is the noise and that velocity, in any number of steps."""
    for steps in (1, 5):
        projector = new(steps=steps)
        torch.nn.init.zeros_(projector.exit.weight), torch.nn.init.zeros_(projector.exit.bias)
        projector.centre(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
        assert projector.centred
        noise = torch.randn(2, 3, generator=sources(7)[0])
        torch.testing.assert_close(projector.draw(torch.randn(1, 2, 8), sources(7))[0], noise + projector.offset)


def test_it_learns_two_kinds_of_conditions_where_a_regression_would_give_their_mean() -> None:
    """The states do not tell which of two points is wanted: what is drawn lies near one or the other."""
    projector, states = new(layers=2, width=32), torch.randn(1, 2, 8).expand(64, -1, -1)
    points = torch.ones(2, 2, 3) * torch.tensor([-2.0, 2.0])[:, None, None]
    optimizer = torch.optim.Adam(projector.parameters(), 3e-3)
    for step in range(150):
        wanted = points[torch.arange(64) % 2]
        loss = projector.drawing_error(states, wanted, sources(*range(step * 64, step * 64 + 64))).mean()
        optimizer.zero_grad(), loss.backward(), optimizer.step()
    with torch.no_grad():
        drawn = projector.draw(states, sources(*range(10**6, 10**6 + 64))).mean((1, 2))
    near = (drawn.abs() - 2).abs() < 0.7
    assert near.float().mean() > 0.8
    assert 0.25 < (drawn > 0).float().mean() < 0.75


def test_tokens_that_a_mask_leaves_out_carry_no_loss_and_everything_learns() -> None:
    projector, states, wanted = new(), torch.randn(2, 2, 8), torch.randn(2, 2, 3)
    mask = torch.tensor([[True, False], [True, True]])
    changed = wanted.clone()
    changed[0, 1] += 3
    whole = projector.drawing_error(states, wanted, sources(1, 2), mask)
    other = projector.drawing_error(states, changed, sources(1, 2), torch.ones(2, 2, dtype=torch.bool))
    assert (whole[0] - other[0]).abs() > 1e-4 and torch.equal(whole[1], other[1])
    whole.sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in projector.parameters())


@pytest.mark.parametrize("width", [15, 18])
def test_a_width_that_no_head_divides_is_refused(width: int) -> None:
    with pytest.raises(PartError, match=f"found width {width}, needed an even multiple of heads = 4"):
        FlowConfig(**SMALL | {"heads": 4, "width": width}).build(dim_in=8, dim_out=3, tokens_in=2, tokens_out=2)

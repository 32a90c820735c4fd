"""The C-Former: integrate-and-fire against a loop that can be read, known numbers of tokens, gradients to the weights."""

from typing import Any

import pytest
import torch
from torch import Tensor

from modalink.errors import PartError
from modalink.kinds import parse
from modalink.projectors.inputs._integrate_and_fire import integrate_and_fire
from modalink.projectors.inputs.c_former import CFormerConfig
from modalink.ragged import Layout, Ragged
from modalink.testing import check_input_projector

SMALL: dict[str, Any] = {"width": 16, "layers": 2, "heads": 4, "feed_forward": 32, "every": 3}


def fired(frames: Tensor, weights: Tensor, count: int) -> Tensor:
    """Integrate-and-fire, frame by frame: the last token fires with the last frame, whatever rounding left of it."""
    weights = weights * count / weights.sum()
    tokens, token, held = [], torch.zeros_like(frames[0]), 0.0
    for frame, weight in zip(frames, weights.tolist(), strict=True):
        while held + weight >= 1 and len(tokens) < count - 1:
            needed = 1 - held
            tokens.append(token + needed * frame)
            token, held, weight = torch.zeros_like(frame), 0.0, weight - needed
        token, held = token + weight * frame, held + weight
    return torch.stack([*tokens, token])


def test_a_frame_is_divided_where_a_token_fires() -> None:
    """Weights 0.5, 0.7, 0.6 and 0.2: the second frame is 0.5 of the first token and 0.2 of the second."""
    frames = torch.tensor([[[1.0], [10.0], [100.0], [1000.0]]])
    found = integrate_and_fire(frames, torch.tensor([[0.5, 0.7, 0.6, 0.2]]), [2])
    assert torch.allclose(found, torch.tensor([[[0.5 * 1 + 0.5 * 10], [0.2 * 10 + 0.6 * 100 + 0.2 * 1000]]]))
    # Half the weights fire as many tokens; and one frame may be several.
    assert torch.allclose(integrate_and_fire(frames, torch.tensor([[0.25, 0.35, 0.3, 0.1]]), [2]), found)
    both = integrate_and_fire(frames[:, :2], torch.tensor([[0.25, 0.75]]), [4])
    assert torch.allclose(both, torch.tensor([[[1.0], [10.0], [10.0], [10.0]]]))


def test_it_is_the_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    lengths, counts = (40, 17, 5, 40), (7, 17, 2, 1)
    frames = torch.randn(4, 40, 3, generator=generator)
    weights = torch.rand(4, 40, generator=generator) * (torch.arange(40) < torch.tensor(lengths)[:, None])
    found = integrate_and_fire(frames, weights, counts)
    assert found.shape == (4, 17, 3)
    for row, (length, count) in enumerate(zip(lengths, counts, strict=True)):
        expected = fired(frames[row, :length], weights[row, :length], count)
        assert torch.allclose(found[row, :count], expected, atol=1e-4)
        assert not found[row, count:].any()


@pytest.mark.parametrize("settings", [{}, {"every": 1}, {"every": 100, "reach": 1}])
def test_it_keeps_the_promises_of_its_role(settings: dict[str, Any]) -> None:
    layouts = (Layout(2, (9, 4), times_s=(0.0, 1.0)), Layout(1, (16,), (4, 4)), Layout(1, (1,)))
    config = parse("modalink.projectors.inputs", {"kind": "c_former", **SMALL, "dropout": 0.0, **settings})
    # A rectified result may be zero for one width: there are enough of them.
    check_input_projector(config, dim_out=64, layouts=layouts)  # type: ignore[arg-type]


def test_tokens_are_known_ahead_and_windows_keep_their_times() -> None:
    item = Layout(3, (1500, 1500, 50), times_s=(0.0, 30.0, 60.0))
    assert CFormerConfig().layout(item) == Layout(3, (125, 125, 5), times_s=(0.0, 30.0, 60.0))
    with pytest.raises(PartError, match="found a window of 1500 tokens, needed at most 512; shorten"):
        CFormerConfig(every=1).layout(item)


def test_gradients_reach_the_weights() -> None:
    """What a token is depends on where the others fire: a weight that grows moves the borders behind it."""
    frames = torch.arange(6.0)[None, :, None]
    weights = torch.tensor([[0.5, 0.6, 0.4, 0.7, 0.4, 0.5]], requires_grad=True)
    first = integrate_and_fire(frames, weights, [3])[0, 0, 0]
    first.backward()
    assert weights.grad is not None
    step = 1e-3
    for place in range(6):
        more = weights.detach().clone()
        more[0, place] += step
        slope = (integrate_and_fire(frames, more, [3])[0, 0, 0] - first.detach()) / step
        assert slope.item() == pytest.approx(weights.grad[0, place].item(), abs=5e-3)
    assert weights.grad[0, 0] < 0 < weights.grad[0, 5]


def test_windows_do_not_see_each_other() -> None:
    projector = CFormerConfig(**SMALL).build(dim_in=8, dim_out=12, example=Layout(1, (9,))).eval()
    values = torch.randn(14, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        both = projector(Ragged.of([values], [Layout(2, (9, 5))]))
        parts = [projector(Ragged.of([part], [Layout(1, (len(part),))])).values for part in values.split([9, 5])]
    assert torch.allclose(both.values, torch.cat(parts), atol=1e-5) and both.lengths == (5,)


def test_its_size() -> None:
    """The blocks have BERT-base's number of parameters; systems' notes say 0.11 billion with its words."""
    with torch.device("meta"):
        projector = CFormerConfig().build(dim_in=512, dim_out=4096, example=Layout(1, (50,)))
    assert sum(parameter.numel() for parameter in projector.blocks.parameters()) == 85_054_464
    assert sum(parameter.numel() for parameter in projector.entry.parameters()) == 393_984
    assert sum(parameter.numel() for parameter in projector.exit.parameters()) == 3_149_824


def test_meaningless_settings_are_refused() -> None:
    with pytest.raises(PartError, match="found width 16, needed a multiple of heads = 5"):
        CFormerConfig(width=16, heads=5).build(dim_in=8, dim_out=8, example=Layout(1, (9,)))
    for settings in ({"every": 0}, {"reach": 2}, {"positions": 0}, {"dropout": 1.0}):
        with pytest.raises(ValueError, match="1 validation error"):
            CFormerConfig.model_validate(settings)
    assert CFormerConfig(width=54, heads=6, layers=1).tiny() == CFormerConfig(
        width=64, heads=4, layers=1, feed_forward=128
    )

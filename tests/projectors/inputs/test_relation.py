"""A learned token that reads all frames, layer after layer.

That its numbers are those of VideoChat's code, `docs/tools/parity/projectors/relation.py` holds.
"""

from typing import Any

import pytest
import torch

from modalink.errors import PartError
from modalink.projectors.inputs.identity import IdentityConfig
from modalink.projectors.inputs.linear import LinearConfig
from modalink.projectors.inputs.q_former import QFormerConfig
from modalink.projectors.inputs.relation import RelationConfig
from modalink.ragged import Layout, Ragged
from modalink.testing import check_input_projector

WIDTH, LAYERS = 16, 2


def frames(count: int, tokens: int = 5) -> Layout:
    return Layout(count, (tokens,) * count)


def items(*layouts: Layout) -> Ragged:
    values = [torch.randn(layout.tokens, LAYERS * WIDTH, dtype=torch.float64) for layout in layouts]
    return Ragged.of(values, layouts)


def config(**changes: Any) -> RelationConfig:
    return RelationConfig.model_validate({"layers": LAYERS, "heads": 2, "whole": IdentityConfig(), **changes})


def built(settings: RelationConfig, example: Layout | None = None) -> Any:
    torch.manual_seed(0)
    projector: Any = settings.build(dim_in=LAYERS * WIDTH, dim_out=WIDTH, example=example or frames(3))
    return projector.eval().double()


def drawn(projector: Any) -> Any:
    for parameter in projector.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return projector


def test_it_keeps_the_promises_of_its_role() -> None:
    check_input_projector(config(whole=QFormerConfig(queries=3, layers=2, width=16, heads=2, feed_forward=32)))


def test_the_last_layer_goes_on_with_a_token_behind_it() -> None:
    """A new one has read nothing: its gates are closed, and it is the learned token."""
    projector, given = built(config()), items(frames(3))
    with torch.no_grad():
        projector.token.copy_(torch.arange(float(WIDTH)))
        found = projector(given)
        expected = projector.norm(torch.cat([given.values[:, WIDTH:], projector.token[None]]))
    assert torch.equal(found.values, expected)
    assert found.layouts == (config().layout(frames(3)),) == (Layout(3, (16,)),)


def test_the_token_reads_each_layer_of_all_frames() -> None:
    projector, given = drawn(built(config())), items(frames(3))
    values = given.values.requires_grad_()
    token = projector(Ragged(values, given.lengths, given.layouts)).values[-1]
    (gradient,) = torch.autograd.grad((token * torch.randn_like(token)).sum(), values)
    assert (gradient.unflatten(1, (LAYERS, WIDTH)).abs().sum(-1) > 0).all()


def test_patches_learn_of_their_neighbours_in_space_and_time() -> None:
    """Of 3 frames of 3 x 3 patches: one patch moves those beside it, in its frame and the next, and no class token."""
    block = drawn(built(config(), frames(3, 10))).blocks[0]
    seen: list[torch.Tensor] = []
    block.key.register_forward_pre_hook(lambda _, given: seen.append(given[0].view(3, 10, WIDTH)))
    one = torch.randn(1, 3, 10, WIDTH, dtype=torch.float64)
    other = one.clone()
    other[0, 0, 1] += torch.randn(WIDTH, dtype=torch.float64)
    with torch.no_grad():
        for each in (one, other):
            block(torch.zeros(1, 1, WIDTH, dtype=torch.float64), each, None, (3, 3))
    moved = (seen[0] != seen[1]).any(-1)
    corner = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 0]]).bool().flatten()
    assert not moved[:, 0].any() and not moved[2].any()
    assert torch.equal(moved[0, 1:], corner) and torch.equal(moved[1, 1:], corner)


@pytest.mark.parametrize("tokens", [4, 5])
def test_an_item_alone_is_as_in_a_batch_with_longer_ones(tokens: int) -> None:
    layouts = (frames(1, tokens), frames(4, tokens), frames(2, tokens))
    projector, given = drawn(built(config(), layouts[0])), items(*layouts)
    with torch.no_grad():
        together = list(projector(given))
        for number, found in enumerate(together):
            alone = projector(given.take([number])).values
            assert (found - alone).abs().max() < 1e-9 * alone.abs().max()


def test_all_of_it_learns_and_the_sections_are_all_of_it() -> None:
    settings = config(whole=LinearConfig())
    projector = drawn(built(settings))
    projector(items(frames(2))).values.square().sum().backward()
    # What is added to all keys alike changes no attention.
    learns = {n for n, p in projector.named_parameters() if p.grad is not None and p.grad.abs().max() > 1e-9}
    assert {name for name, _ in projector.named_parameters()} - learns == {f"blocks.{n}.key.bias" for n in (0, 1)}
    assert settings.sections() == ("token", "blocks", "norm", "whole", "whole.linear")
    assert {name.partition(".")[0] for name, _ in projector.named_parameters()} == {*settings.own_sections()}


def test_its_size_is_that_of_videochats_code() -> None:
    """Eight blocks behind EVA-CLIP-g, each: a convolution of 27 weights a channel, three norms, attention, two maps."""
    with torch.device("meta"):
        projector = RelationConfig(feed_forward=6144, whole=IdentityConfig()).build(
            dim_in=8 * 1408, dim_out=1408, example=frames(8, 257)
        )
    block = 1408 * 28 + 3 * 2816 + 4 * (1408 * 1408 + 1408) + 2 * 1408 * 6144 + 6144 + 1408
    assert sum(parameter.numel() for parameter in projector.parameters()) == 8 * block + 3 * 1408


@pytest.mark.parametrize(
    ("changes", "layout", "says"),
    [
        ({"layers": 3}, frames(2), "found tokens of width 32, needed 3 layers of an encoder side by side"),
        ({"heads": 5}, frames(2), "a multiple of heads = 5 wide"),
        ({}, frames(2, 7), "found blocks of 7 tokens, needed frames of one size"),
        ({}, Layout(2, (4, 5)), "found blocks of 4, 5 tokens"),
    ],
)
def test_what_it_cannot_read_is_refused(changes: dict[str, Any], layout: Layout, says: str) -> None:
    with pytest.raises(PartError, match=says):
        built(config(**changes), layout)


def test_the_tiny_form_reads_two_layers() -> None:
    tiny = RelationConfig(checkpoint="someone/videochat", without=("whole",), whole=QFormerConfig()).tiny()
    assert (tiny.layers, tiny.checkpoint, tiny.without) == (2, None, ())
    assert isinstance(tiny.whole, QFormerConfig) and tiny.whole.layers == 2

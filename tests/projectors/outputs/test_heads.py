"""One trunk with a head for each condition."""

from typing import Any

import pytest
import torch

from modalink.errors import RecipeError
from modalink.kinds import parse
from modalink.projectors.outputs.heads import HeadsConfig
from modalink.recipe.errors import Problems
from modalink.recipe.kind_field import Kinds
from modalink.roles import Centred

TRUNK: dict[str, Any] = {
    "kind": "transformer", "width": 16, "encoder_layers": 1, "decoder_layers": 1, "heads": 2, "feed_forward": 24,
}  # fmt: skip
SHAPES = {"words": (6, 8), "style": (1, 5)}


def config(**changes: Any) -> HeadsConfig:
    found: Any = parse("modalink.projectors.outputs", {"kind": "heads", "trunk": TRUNK, "width": 12} | changes)
    return found


def test_conditions_are_the_trunks_tokens_in_order_each_through_its_own_map() -> None:
    projector = config().build_joint(dim_in=10, tokens_in=3, shapes=SHAPES)
    states = torch.randn(2, 3, 10)
    made, inside = projector(states), projector.trunk(states)
    assert {name: tuple(values.shape) for name, values in made.items()} == {"words": (2, 6, 8), "style": (2, 1, 5)}
    assert inside.shape == (2, 7, 12)
    torch.testing.assert_close(made["style"], projector.heads["style"](inside[:, 6:]))
    (gradient,) = torch.autograd.grad(made["style"].sum(), projector.trunk.queries)
    assert gradient.abs().amax(1)[6] > 0, "the pooled condition has a query of its own"
    names = {name.partition(".")[0] for name, _ in projector.named_parameters()}
    assert names == {"trunk", "heads"} <= {*config().sections()}
    assert "trunk.decoder" in config().sections()


def test_its_tiny_form_has_a_tiny_trunk() -> None:
    tiny = config(width=1000, trunk=TRUNK | {"width": 1024, "decoder_layers": 9}).tiny()
    assert tiny.width == 128 and tiny.trunk.model_dump()["width"] == 128


@pytest.mark.parametrize("trunk", [{"kind": "heads", "trunk": TRUNK}, {"kind": "flow"}])
def test_a_trunk_has_no_heads_and_draws_nothing(trunk: dict[str, Any]) -> None:
    with pytest.raises((RecipeError, Problems), match="cannot stand"):
        Kinds("modalink.projectors.outputs").parse({"kind": "heads", "trunk": trunk})


def test_it_starts_from_the_means_of_its_conditions() -> None:
    projector = config().build_joint(dim_in=10, tokens_in=3, shapes=SHAPES)
    states = torch.randn(2, 3, 10)
    before, means = projector(states), {"words": torch.randn(6, 8), "style": torch.randn(1, 5)}
    assert not projector.centred
    projector.centre(means)
    assert projector.centred
    for name, values in projector(states).items():
        torch.testing.assert_close(values - before[name], means[name].expand_as(values), rtol=1e-5, atol=1e-6)
    one = config().build(dim_in=10, dim_out=8, tokens_in=3, tokens_out=6)
    assert isinstance(one, Centred) and not one.centred
    before = one(states)
    one.centre(means["words"])
    torch.testing.assert_close(one(states) - before, means["words"].expand(2, 6, 8), rtol=1e-5, atol=1e-6)

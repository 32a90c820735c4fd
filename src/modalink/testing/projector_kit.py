"""The kits for projectors: a new one needs a test of one line."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from modalink.ragged import Layout, Ragged
from modalink.roles import InputProjector, InputProjectorConfig, OutputProjector, OutputProjectorConfig
from modalink.testing.requirements import (
    check_bare,
    check_batching,
    check_gradients,
    check_rows,
    check_settings,
    require,
)


def check_input_projector(
    config: InputProjectorConfig,
    *,
    dim_in: int = 12,
    dim_out: int = 20,
    layouts: Sequence[Layout] = (Layout(1, (16,), (4, 4)), Layout(2, (16, 16), (4, 4)), Layout(1, (16,), (2, 8))),
) -> None:
    """Prove that an input projector publishes its tokens, takes items of any length, trains, and uses every token.

    Args:
        config: Its settings.
        dim_in: Width of encoder tokens.
        dim_out: Width of prompt tokens.
        layouts: Items of several lengths that it must read.

    Raises:
        AssertionError: It breaks the promise that the message names.
    """
    check_settings(config)
    lengths = tuple(layout.tokens for layout in layouts)
    features = Ragged(torch.randn(sum(lengths), dim_in), lengths, tuple(layouts))
    texts = None
    if config.reads_text:
        texts = Ragged(torch.arange(2 * len(lengths)), (2,) * len(lengths), (Layout.of_units(2),) * len(lengths))
    projector = _drawn(lambda: config.build(dim_in=dim_in, dim_out=dim_out, example=layouts[0]), InputProjector)

    def project(items: Ragged) -> Ragged:
        made: Ragged = projector(items, texts if texts is None or len(items) > 1 else texts.take([0]))
        return made

    found = project(features) if texts is not None else check_batching(project, features, "projecting")
    published = tuple(config.layout(layout) for layout in layouts)
    require(found.layouts == published, f"found prompt tokens that lie {found.layouts}, published {published}")
    require(found.values.shape[1:] == (dim_out,), f"found prompt tokens {found.values.shape[1:]}, needed {dim_out}")
    values = features.values.clone().requires_grad_()
    made = project(replace(features, values=values)).values
    check_gradients(projector, made)
    (reach,) = torch.autograd.grad(project(replace(features, values=values)).values.square().sum(), values)
    require(bool((reach.abs().amax(dim=1) > 0).all()), "every token that comes in must reach what goes out")
    check_bare(lambda: config.build(dim_in=dim_in, dim_out=dim_out, example=layouts[0]), projector)


def check_output_projector(
    config: OutputProjectorConfig, *, dim_in: int = 20, dim_out: int = 12, tokens_in: int = 4, tokens_out: int = 6
) -> None:
    """Prove that an output projector makes the conditions asked for, batches, trains, and uses every signal state."""
    check_settings(config)
    states = torch.randn(3, tokens_in, dim_in)
    widths = {"dim_in": dim_in, "dim_out": dim_out, "tokens_in": tokens_in, "tokens_out": tokens_out}
    projector = _drawn(lambda: config.build(**widths), OutputProjector)
    check_rows(projector, states, "projecting")
    found, needed = tuple(projector(states).shape), (3, tokens_out, dim_out)
    require(found == needed, f"found conditions {found}, needed {needed}")
    states = states.requires_grad_()
    check_gradients(projector, projector(states))
    (reach,) = torch.autograd.grad(projector(states).square().sum(), states)
    require(bool((reach.abs().amax(dim=2) > 0).all()), "every state that comes in must reach what goes out")
    check_bare(lambda: config.build(**widths), projector)


def _drawn(build: Callable[[], nn.Module], role: type) -> Any:
    """A new projector, which must be drawn from torch's global random state alone."""
    with torch.random.fork_rng(devices=[]):
        drawn = []
        for _ in range(2):
            torch.manual_seed(0)
            drawn.append(build().eval())
    projector = drawn[0]
    require(isinstance(projector, role), f"a projector must be an {role.__name__}")
    states = [module.state_dict() for module in drawn]
    same = all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    require(same, "new weights must be drawn from torch's global random state, and from nothing else")
    return projector

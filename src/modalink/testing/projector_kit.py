"""The kits for projectors: a new one needs a test of one line."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from modalink.roles import InputProjector, InputProjectorConfig, OutputProjector, OutputProjectorConfig
from modalink.testing.requirements import check_bare, check_batching, check_gradients, check_settings, require


def check_input_projector(
    config: InputProjectorConfig,
    *,
    dim_in: int = 12,
    dim_out: int = 20,
    tokens_in: int = 16,
    grid: tuple[int, int] | None = (4, 4),
) -> None:
    """Prove that an input projector publishes its tokens, batches, trains, and uses every token it is given."""
    check_settings(config)
    features = torch.randn(3, tokens_in, dim_in)
    widths: dict[str, Any] = {"dim_in": dim_in, "dim_out": dim_out, "tokens_in": tokens_in, "grid": grid}
    projector = _projector(lambda: config.build(**widths), InputProjector, features)
    found = tuple(projector(features).shape)
    published = (3, projector.tokens_per_item, dim_out)
    require(found == published, f"found prompt tokens {found}, published {published}")


def check_output_projector(
    config: OutputProjectorConfig, *, dim_in: int = 20, dim_out: int = 12, tokens_in: int = 4, tokens_out: int = 6
) -> None:
    """Prove that an output projector makes the conditions asked for, batches, trains, and uses every signal state."""
    check_settings(config)
    states = torch.randn(3, tokens_in, dim_in)
    widths = {"dim_in": dim_in, "dim_out": dim_out, "tokens_in": tokens_in, "tokens_out": tokens_out}
    projector = _projector(lambda: config.build(**widths), OutputProjector, states)
    found, needed = tuple(projector(states).shape), (3, tokens_out, dim_out)
    require(found == needed, f"found conditions {found}, needed {needed}")


def _projector(build: Callable[[], nn.Module], role: type, values: Tensor) -> Any:
    """A projector that passed what both directions ask of one."""
    with torch.random.fork_rng(devices=[]):
        drawn = []
        for _ in range(2):
            torch.manual_seed(0)
            drawn.append(build().eval())
    projector = drawn[0]
    require(
        isinstance(projector, nn.Module) and isinstance(projector, role), "a projector must have its role's members"
    )
    states = [module.state_dict() for module in drawn]
    same = all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    require(same, "new weights must be drawn from torch's global random state, and from nothing else")
    check_batching(projector, values, "projecting")
    values = values.clone().requires_grad_()
    check_gradients(projector, projector(values))
    (reach,) = torch.autograd.grad(projector(values).square().sum(), values)
    require(bool((reach.abs().amax(dim=2) > 0).all()), "every token that comes in must reach what goes out")
    check_bare(build, projector)
    return projector

"""What a generator promises that takes its steps one by one; part of the kit for generators."""

from collections.abc import Callable
from typing import Any

import torch

from modalink.roles import Conditions, Walk
from modalink.testing.requirements import require, require_close

Sources = Callable[[int, int], list[torch.Generator]]


def check_walk(generator: Any, conditions: Conditions, sources: Sources) -> None:
    """Prove that its steps are Gaussians of their own items, and pass gradients to the conditions.

    Args:
        generator: A generator that `Walks`.
        conditions: Of some items.
        sources: Sources of randomness from a first seed, so many.

    Raises:
        AssertionError: It breaks the promise that the message names.
    """
    options = {"steps": 3} if "steps" in generator.options else {}
    walk: Walk = generator.walk(conditions, **options)
    with torch.no_grad():
        gone = walk.go(sources(0, len(conditions)))
        require(len(gone.latents) == walk.steps + 1, "a walk must tell the latents before and after each step")
        require(bool(walk.random), "a walk with noise must have steps that draw it")
        require(gone.log_densities.shape == (len(conditions), len(walk.random)), "each random step has a density")
        alone = generator.walk(conditions.take([1]), **options).go(sources(1, 1))
        require_close(gone.latents[-1][1:2], alone.latents[-1], "a walk in a batch must equal one by one")
        still = generator.walk(conditions, noise=0.0, **options)
        require(not still.random, "a walk without noise must draw none")
        seen, media = walk.visible(gone.latents[-1]), walk.media(gone.latents[-1])
        require(len(seen) == len(media), "each item must be seen")
        require(bool((seen.abs() <= 1).all()), "what is seen must be in the range of media")
    _check_gradients(generator, conditions, options, sources)


def _check_gradients(generator: Any, conditions: Conditions, options: Any, sources: Sources) -> None:
    leaves = {name: values.clone().requires_grad_() for name, values in conditions.tensors.items()}
    walk: Walk = generator.walk(Conditions(leaves, conditions.masks), **options)
    gone = walk.go(sources(0, len(conditions)))
    for place, number in enumerate(walk.random):
        density = walk.step(gone.latents[number], number).log_density(gone.latents[number + 1])
        require_close(density.detach(), gone.log_densities[:, place], "a step taken again must have the same density")
    found = walk.visible(walk.step(gone.latents[-2], walk.steps - 1).media).flatten(1).mean(1)
    for what, value in (("a density", density[0]), ("what is seen", found[0])):
        reach = torch.autograd.grad(value, [*leaves.values()], retain_graph=True)
        for name, gradient in zip(leaves, reach, strict=True):
            require(bool((gradient[0] != 0).any()), f"the gradient of {what} must reach {name!r}")
            require(not (gradient[1:] != 0).any(), f"{what} must not depend on other items' conditions")

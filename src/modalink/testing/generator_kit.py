"""The kit for generators: a new one needs a test of one line."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modalink.ragged import Ragged
from modalink.roles import Denoises, Generator, GeneratorConfig, ReadsText
from modalink.testing.requirements import (
    check_bare,
    check_preprocessor,
    check_settings,
    check_strict_loading,
    examples,
    require,
    require_close,
)

_CAPTIONS = ["a red cube", "two blue circles and a star", ""]


def check_generator(config: GeneratorConfig, media: Sequence[Any] | None = None, *, from_files: bool = True) -> None:
    """Prove that a generator is frozen, publishes its conditions, batches, and passes gradients to the conditions.

    Args:
        config: Its settings, with a tiny local checkpoint.
        media: Three decoded media of a modality that it makes; the modality's examples if not given.
        from_files: Whether its weights come from the files of a checkpoint.

    Raises:
        AssertionError: It breaks the promise that the message names.
    """
    check_settings(config)
    items = check_preprocessor(config.preprocessor, media or examples(config.makes()))
    generator: Any = config.build()
    require(isinstance(generator, Generator), "a generator must be a Generator")
    require(not any(p.requires_grad for p in generator.parameters()), "a generator must be frozen")
    require(not generator.training, "a generator must be in evaluation mode")
    shape = config.condition_shape()
    own = (generator.condition_tokens, generator.condition_dim)
    require(own == shape, f"the generator publishes {own}, its settings {shape}")
    conditions = torch.randn(len(_CAPTIONS), *shape, generator=torch.Generator().manual_seed(0))
    if isinstance(generator, ReadsText):
        conditions = _check_text(generator, shape)
    if isinstance(generator, Denoises):
        _check_denoising(generator, _check_latents(generator, items), conditions)
    _check_sampling(generator, conditions)
    check_bare(lambda: config.build(weights=False), generator)
    if from_files:
        check_strict_loading(config, lambda damaged: damaged.build())


def _check_text(generator: Any, published: tuple[int, int]) -> Tensor:
    conditions: Tensor = generator.encode_text(_CAPTIONS)
    found = tuple(conditions.shape[1:])
    require(found == published, f"found conditions {found}, condition_shape published {published}")
    alone = torch.cat([generator.encode_text([caption]) for caption in _CAPTIONS])
    require_close(conditions, alone, "captions in a batch must be encoded as one by one")
    require(not torch.equal(conditions[0], conditions[1]), "different captions must have different conditions")
    return conditions


def _check_latents(generator: Any, items: Ragged) -> Tensor:
    together = [*generator.encode_media(items)]
    for number, latent in enumerate(together):
        alone = generator.encode_media(items.take([number]))[0]
        require_close(latent, alone, "encoding media in a batch must equal encoding media one by one")
    same = all(torch.equal(a, b) for a, b in zip(together, generator.encode_media(items), strict=True))
    require(same, "encoding media must be deterministic")
    return torch.stack(together)


def _check_denoising(generator: Any, latents: Tensor, conditions: Tensor) -> None:
    conditions = conditions.clone().requires_grad_()
    errors = generator.denoising_error(latents, conditions, _sources())
    require(errors.shape == (len(latents),), f"denoising_error must give one number an item, found {errors.shape}")
    require(bool((errors >= 0).all() and errors.isfinite().all()), "denoising_error must be finite and not negative")
    again = generator.denoising_error(latents, conditions, _sources())
    require(torch.equal(errors, again), "denoising_error must be a function of its sources of randomness")
    other = generator.denoising_error(latents, conditions, _sources(first=10))
    require(not torch.equal(errors, other), "denoising_error must draw from the sources it is given")
    pairs = zip(latents, conditions, _sources(), strict=True)
    alone = torch.cat([generator.denoising_error(one[None], its[None], [source]) for one, its, source in pairs])
    require_close(errors.detach(), alone.detach(), "denoising_error in a batch must equal one by one")
    (reach,) = torch.autograd.grad(errors[0], conditions)
    require(bool((reach[0] != 0).any()), "the gradient of denoising_error must reach the conditions")
    require(not bool((reach[1:] != 0).any()), "an item's denoising_error must not depend on other items' conditions")


def _check_sampling(generator: Any, conditions: Tensor) -> None:
    choices = [{"guidance": scale} for scale in (1.0, 3.0)] if "guidance" in generator.options else [{}]
    for options in choices:
        together = _sampled(generator, conditions, options)
        require(len(together) == len(conditions), f"found {len(together)} media for {len(conditions)} conditions")
        again = _sampled(generator, conditions, options)
        same = all(np.array_equal(one, other) for one, other in zip(together, again, strict=True))
        require(same, "sampling must be a function of its sources of randomness")
        for i, one in enumerate(together):
            alone = _sampled(generator, conditions[i : i + 1], options, first=i)[0]
            worst, scale = float(np.abs(one - alone).max()), max(1.0, float(np.abs(alone).max()))
            require(worst <= 0.02 * scale, f"sampling in a batch must equal one by one: they differ by {worst:.2g}")
    other = _sampled(generator, conditions, options, first=10)
    require(not np.array_equal(other[0], together[0]), "sampling must draw from the sources it is given")
    moved = _sampled(generator, conditions + 1, options)
    plain = _sampled(generator, conditions, options)
    require(not np.array_equal(moved[0], plain[0]), "sampling must depend on the conditions")


def _sampled(generator: Any, conditions: Tensor, options: dict[str, float], first: int = 0) -> list[np.ndarray]:
    sources = _sources(first, len(conditions))
    media = generator.sample(
        conditions, rng=sources, **({"steps": 2} if "steps" in generator.options else {}), **options
    )
    return [np.asarray(medium, dtype=np.float64) for medium in media]


def _sources(first: int = 0, count: int = len(_CAPTIONS)) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(first, first + count)]

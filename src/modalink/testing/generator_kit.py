"""The kit for generators: a new one needs a test of one line."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modalink.errors import GenerationError, PartError, Stopped
from modalink.ragged import Ragged
from modalink.roles import (
    Conditions,
    ConditionShape,
    Denoises,
    Generator,
    GeneratorConfig,
    PredictsCodes,
    ReadsText,
    Walks,
)
from modalink.testing.denoiser_kit import check_denoiser
from modalink.testing.requirements import (
    check_bare,
    check_preprocessor,
    check_settings,
    check_strict_loading,
    examples,
    require,
    require_close,
)
from modalink.testing.walk_kit import check_walk

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
    shapes, own = config.condition_shapes(), dict(generator.condition_shapes)
    require(own == shapes, f"the generator publishes {_listed(own)}, its settings {_listed(shapes)}")
    conditions = _drawn(shapes)
    if isinstance(generator, ReadsText):
        conditions = _check_text(generator, shapes)
    if isinstance(generator, Denoises):
        latents = _check_latents(generator, items)
        _check_denoising(generator, latents, conditions)
        if config.denoiser is not None:
            check_denoiser(config, generator, latents, conditions, [_sources(), _sources()])
    if isinstance(generator, Walks):
        check_walk(generator, conditions, _sources)
    if isinstance(generator, PredictsCodes):
        _check_codes(generator, items, conditions)
    _check_sampling(generator, conditions)
    _check_requests(generator, conditions)
    check_bare(lambda: config.build(weights=False), generator)
    if from_files:
        check_strict_loading(config, lambda damaged: damaged.build())


def _drawn(shapes: Mapping[str, ConditionShape]) -> Conditions:
    """Conditions without a meaning; of a masked sequence each item has one token less than the one before."""
    rng, items = torch.Generator().manual_seed(0), range(len(_CAPTIONS))
    tensors = {name: _drawn_item(shape, len(items), rng) for name, shape in shapes.items()}
    masked = {name: shape.tokens for name, shape in shapes.items() if shape.masked and shape.tokens}
    lengths = {name: torch.tensor([max(1, tokens - i) for i in items]) for name, tokens in masked.items()}
    return Conditions(tensors, {name: torch.arange(masked[name]) < found[:, None] for name, found in lengths.items()})


def _drawn_item(shape: ConditionShape, items: int, rng: torch.Generator) -> Tensor:
    if shape.vocabulary is not None:
        return torch.randint(shape.vocabulary, (items, *shape.item), generator=rng)
    return shape.normalised(torch.randn(items, *shape.item, generator=rng))


def _check_text(generator: Any, shapes: Mapping[str, ConditionShape]) -> Conditions:
    conditions = _declared(generator.encode_text(_CAPTIONS), shapes, "encode_text")
    alone = Conditions.cat([generator.encode_text([caption]) for caption in _CAPTIONS])
    _require_close(conditions, alone, "captions in a batch must be encoded as one by one")
    different = any(not torch.equal(values[0], values[1]) for values in conditions.tensors.values())
    require(different, "different captions must have different conditions")
    return conditions


def _declared(conditions: Any, shapes: Mapping[str, ConditionShape], what: str) -> Conditions:
    require(isinstance(conditions, Conditions), f"{what} must give Conditions, found {type(conditions).__name__}")
    try:
        conditions.check(shapes)
    except PartError as error:
        raise AssertionError(f"{what} must give the declared conditions: {error}") from error
    missing = [name for name, shape in shapes.items() if shape.masked and name not in conditions.masks]
    require(not missing, f"{what} must give the masks that are declared, found none for {', '.join(missing)}")
    found: Conditions = conditions
    return found


def _require_close(found: Conditions, expected: Conditions, obligation: str) -> None:
    for name, values in found.tensors.items():
        require_close(values, expected[name], obligation)
    for name in {*found.masks, *expected.masks}:
        require(torch.equal(found.mask(name), expected.mask(name)), f"{obligation}: their masks differ")


def _check_latents(generator: Any, items: Ragged) -> Tensor:
    together = [*generator.encode_media(items)]
    for number, latent in enumerate(together):
        alone = generator.encode_media(items.take([number]))[0]
        require_close(latent, alone, "encoding media in a batch must equal encoding media one by one")
    same = all(torch.equal(a, b) for a, b in zip(together, generator.encode_media(items), strict=True))
    require(same, "encoding media must be deterministic")
    return torch.stack(together)


def _check_denoising(generator: Any, latents: Tensor, conditions: Conditions) -> None:
    leaves = {name: values.clone().requires_grad_() for name, values in conditions.tensors.items()}
    conditions = Conditions(leaves, conditions.masks)
    errors = generator.denoising_error(latents, conditions, _sources())
    require(errors.shape == (len(latents),), f"denoising_error must give one number an item, found {errors.shape}")
    require(bool((errors >= 0).all() and errors.isfinite().all()), "denoising_error must be finite and not negative")
    again = generator.denoising_error(latents, conditions, _sources())
    require(torch.equal(errors, again), "denoising_error must be a function of its sources of randomness")
    other = generator.denoising_error(latents, conditions, _sources(first=10))
    require(not torch.equal(errors, other), "denoising_error must draw from the sources it is given")
    pairs = zip(latents, conditions, _sources(), strict=True)
    alone = torch.cat([generator.denoising_error(one[None], its, [source]) for one, its, source in pairs])
    require_close(errors.detach(), alone.detach(), "denoising_error in a batch must equal one by one")
    left_out = generator.denoising_error(latents, _disturbed(conditions), _sources())
    require_close(errors.detach(), left_out.detach(), "denoising_error must not read tokens that a mask leaves out")
    for name, reach in zip(leaves, torch.autograd.grad(errors[0], [*leaves.values()], allow_unused=True), strict=True):
        reached = reach is not None and bool((reach[0] != 0).any())
        require(reached, f"the gradient of denoising_error must reach the conditions, found none in {name!r}")
        foreign = reach is not None and bool((reach[1:] != 0).any())
        require(not foreign, "an item's denoising_error must not depend on other items' conditions")
    nothing = _declared(generator.null_conditions(2), generator.condition_shapes, "null_conditions")
    require(len(nothing) == 2, f"null_conditions must give as many items as asked for, found {len(nothing)} for 2")


def _check_codes(generator: Any, items: Ragged, conditions: Conditions) -> None:
    codes = generator.encode_media(items)
    for number, own in enumerate(codes):
        (alone,) = generator.encode_media(items.take([number]))
        require(torch.equal(own, alone), "codes of media in a batch must be those of one by one")
    steps = min(own.shape[-1] for own in codes)
    cut = torch.stack([own[..., :steps] for own in codes])
    leaves = {name: values.clone().requires_grad_() for name, values in conditions.tensors.items()}
    errors = generator.code_error(cut, Conditions(leaves, conditions.masks))
    require(errors.shape == (len(cut),), f"code_error must give one number an item, found {errors.shape}")
    require(bool((errors >= 0).all() and errors.isfinite().all()), "code_error must be finite and not negative")
    each = torch.cat([generator.code_error(one[None], its) for one, its in zip(cut, conditions, strict=True)])
    require_close(errors.detach(), each.detach(), "code_error in a batch must equal one by one")
    left_out = generator.code_error(cut, _disturbed(conditions))
    require_close(errors.detach(), left_out.detach(), "code_error must not read tokens that a mask leaves out")
    for name, reach in zip(leaves, torch.autograd.grad(errors[0], [*leaves.values()]), strict=True):
        require(bool((reach[0] != 0).any()), f"the gradient of code_error must reach the conditions, not {name!r}")
        require(not (reach[1:] != 0).any(), "an item's code_error must not depend on other items' conditions")
    nothing = _declared(generator.null_conditions(2), generator.condition_shapes, "null_conditions")
    require(len(nothing) == 2, f"null_conditions must give as many items as asked for, found {len(nothing)} for 2")


def _disturbed(conditions: Conditions) -> Conditions:
    """The same but for what the masks leave out."""
    tensors = dict(conditions.tensors)
    for name, mask in conditions.masks.items():
        tensors[name] = tensors[name] + 10 * ~mask[..., None]
    return Conditions(tensors, conditions.masks)


def _check_sampling(generator: Any, conditions: Conditions) -> None:
    choices = [{"guidance": scale} for scale in (1.0, 3.0)] if "guidance" in generator.options else [{}]
    for options in choices:
        together = _sampled(generator, conditions, options)
        require(len(together) == len(conditions), f"found {len(together)} media for {len(conditions)} conditions")
        again = _sampled(generator, conditions, options)
        same = all(np.array_equal(one, other) for one, other in zip(together, again, strict=True))
        require(same, "sampling must be a function of its sources of randomness")
        for i, one in enumerate(together):
            alone = _sampled(generator, conditions.take([i]), options, first=i)[0]
            worst, scale = float(np.abs(one - alone).max()), max(1.0, float(np.abs(alone).max()))
            require(worst <= 0.02 * scale, f"sampling in a batch must equal one by one: they differ by {worst:.2g}")
    other = _sampled(generator, conditions, options, first=10)
    require(not np.array_equal(other[0], together[0]), "sampling must draw from the sources it is given")
    plain = _sampled(generator, conditions, options)
    for name, values in conditions.tensors.items():
        vocabulary = generator.condition_shapes[name].vocabulary
        moved = values + 1 if vocabulary is None else (values + 1) % vocabulary
        changed = Conditions({**conditions.tensors, name: moved}, conditions.masks)
        differs = not np.array_equal(_sampled(generator, changed, options)[0], plain[0])
        require(differs, f"sampling must depend on the conditions, and {name!r} changes nothing")
    if conditions.masks:
        left_out = _sampled(generator, _disturbed(conditions), options)
        same = all(np.array_equal(one, other) for one, other in zip(left_out, plain, strict=True))
        require(same, "sampling must not read tokens that a mask leaves out")


_ABSURD: dict[str, tuple[Any, ...]] = {
    "steps": (0, -1, 10**6),
    "guidance": (-1.0, float("nan"), 1e9),
    "size": (0, (-8, 8), 10**6),
    "seconds": (0, float("inf"), 1e9),
    "frames": (0, 10**6),
}


def _check_requests(generator: Any, conditions: Conditions) -> None:
    """What cannot be made is refused in words before any work, and a stop leaves nothing behind."""
    one, source = conditions.take([0]), _sources(count=1)
    name, values = next(iter(one.tensors.items()))
    broken = {
        "conditions that are no numbers": {name: values * float("nan")},
        "conditions of another width": {name: values[..., :-1]},
        "conditions of another name": {f"not_{name}": values},
    }
    for what, tensors in broken.items():
        _refuses(generator, what, Conditions({**one.tensors, **tensors} if name in tensors else tensors), source)
    _refuses(generator, "fewer sources of randomness than items", conditions, source)
    for option in sorted(_ABSURD.keys() & generator.options):
        for value in _ABSURD[option]:
            _refuses(generator, f"{option}={value}", one, source, **{option: value})
    if "guidance" in generator.options:
        strong = {"guidance": 3.0}
        _refuses(generator, "a negative condition without guidance", one, source, negative=one, guidance=1.0)
        away, other = (_sampled(generator, one, strong | {"negative": n})[0] for n in (one, conditions.take([1])))
        require(not np.array_equal(away, other), "sampling must be steered away from the negative condition")
    else:
        _refuses(generator, "a negative condition", one, source, negative=one)
    before = _sampled(generator, one, {})[0]
    try:
        generator.sample(one, rng=_sources(count=1), should_stop=lambda: True)
    except Stopped:
        pass
    else:
        raise AssertionError("sampling must raise Stopped when should_stop says so")
    require(np.array_equal(before, _sampled(generator, one, {})[0]), "a stop must leave no state behind")


def _refuses(generator: Any, what: str, conditions: Conditions, rng: list[torch.Generator], **options: Any) -> None:
    try:
        generator.sample(conditions, rng=rng, **options)
    except GenerationError:
        return
    except Exception as error:
        raise AssertionError(f"{what} must be refused by a GenerationError, found {type(error).__name__}") from error
    raise AssertionError(f"{what} must be refused by a GenerationError, found media")


def _sampled(generator: Any, conditions: Conditions, options: dict[str, Any], first: int = 0) -> list[np.ndarray]:
    sources = _sources(first, len(conditions))
    media = generator.sample(
        conditions, rng=sources, **({"steps": 2} if "steps" in generator.options else {}), **options
    )
    return [np.asarray(medium, dtype=np.float64) for medium in media]


def _sources(first: int = 0, count: int = len(_CAPTIONS)) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(first, first + count)]


def _listed(shapes: Mapping[str, ConditionShape]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items())

"""What a generator makes of held-out captions, by its own text encoder, as the classifiers read it."""

from typing import Any

import torch

from modalink.errors import GenerationError
from modalink.roles import Conditions
from modalink.tiny_world.worlds import WORLDS
from modalink.zoo import classifiers
from modalink.zoo.build.loop import Metrics

_TOGETHER = 16


def measure(generator: Any, modality: str, split: str, count: int, classifier: Any) -> Metrics:
    """Share of the parts asked for that stand where they should, by attribute and whole, and of whole media.

    Args:
        generator: One that reads text and makes the modality.
        modality: Whose things are asked for, by their canonical captions.
        split: The split of the things.
        count: How many.
        classifier: Of the modality.
    """
    world = WORLDS[modality]
    things = [world.sample(number, split) for number in range(count)]
    made: list[Any] = []
    for first in range(0, count, _TOGETHER):
        some = things[first : first + _TOGETHER]
        conditions = generator.encode_text([world.describe(thing) for thing in some])
        seeds = list(range(first, first + len(some)))
        try:
            made += _sampled(generator, conditions, seeds)
        except GenerationError:
            made += [_one(generator, conditions.take([i]), seed) for i, seed in enumerate(seeds)]
    read = [[] if medium is None else classifier([medium])[0] for medium in made]
    return classifiers.shares(modality, things, read)


def _sampled(generator: Any, conditions: Conditions, seeds: list[int]) -> list[Any]:
    found: list[Any] = generator.sample(conditions, rng=[torch.Generator().manual_seed(seed) for seed in seeds])
    return found


def _one(generator: Any, conditions: Conditions, seed: int) -> Any:
    """A medium, or None where nothing comes of the conditions, such as no surface."""
    try:
        return _sampled(generator, conditions, [seed])[0]
    except GenerationError:
        return None

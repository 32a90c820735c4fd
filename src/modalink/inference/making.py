"""Media from conditions, as the generator's settings and those of one answer say."""

from typing import Any

import torch

from modalink.errors import GenerationError
from modalink.inference.sampling import Sampling
from modalink.model import System
from modalink.recipe.groups import Group
from modalink.roles import Conditions


def sample(
    system: System,
    modality: str,
    conditions: Conditions,
    rng: list[torch.Generator],
    sampling: Sampling,
) -> list[Any]:
    """Decoded media, one an item.

    Raises:
        GenerationError: An option was given that the generator does not take.
    """
    generator = system.generators[modality]
    given = {name: value for name in ("steps", "guidance") if (value := getattr(sampling, name)) is not None}
    if unknown := given.keys() - generator.options:
        takes = ", ".join(sorted(generator.options)) or "none"
        raise GenerationError(
            f"found {', '.join(sorted(unknown))}, which {Group.generator(modality)} does not take; its options: {takes}"
        )
    return generator.sample(conditions, rng=rng, **given)

"""Media from conditions, as the generator's settings and those of one answer say."""

from typing import Any, cast

import torch

from modalink.errors import GenerationError
from modalink.inference.sampling import Sampling
from modalink.model import System
from modalink.recipe.groups import Group
from modalink.roles import Conditions, MediaOptions, ReadsText, ShouldStop


def sample(
    system: System,
    modality: str,
    conditions: Conditions,
    rng: list[torch.Generator],
    sampling: Sampling,
    should_stop: ShouldStop | None = None,
) -> list[Any]:
    """Decoded media, one an item.

    An option that only generators of other modalities take is meant for these.

    Raises:
        GenerationError: An option was given that no generator takes, or a value that it cannot use.
        Stopped: `should_stop` said so, between two steps.
    """
    generator: Any = system.generators[modality]
    given = {n: value for n in (*MediaOptions.model_fields, "negative") if (value := getattr(sampling, n)) is not None}
    own = _options(generator)
    if unknown := given.keys() - own.union(*map(_options, system.generators.values())):
        takes = ", ".join(sorted(own)) or "none"
        raise GenerationError(
            f"found {', '.join(sorted(unknown))}, which {Group.generator(modality)} does not take; its options: {takes}"
        )
    given = {name: value for name, value in given.items() if name in own}
    if (words := given.pop("negative", None)) is not None:
        given["negative"] = generator.encode_text([words]).to(conditions.device)
    media: list[Any] = generator.sample(conditions, rng=rng, should_stop=should_stop, **given)
    return media


def _options(generator: Any) -> frozenset[str]:
    own = frozenset(generator.options)
    return own | {"negative"} if isinstance(generator, ReadsText) and "guidance" in own else own


def of_words(system: System, text: str) -> dict[str, Conditions]:
    """The conditions of outputs whose generator reads the words of the reply, by modality; none where it says nothing.

    Args:
        system: The system.
        text: The reply, without its media.
    """
    asked = system.spec.worded if text else ()
    return {modality: cast(ReadsText, system.generators[modality]).encode_text([text]) for modality in asked}

"""Media from conditions, as the generator's settings and those of one answer say."""

from collections.abc import Iterator
from typing import Any, cast

import torch

from modalink.errors import GenerationError, ModalinkError
from modalink.inference.request import Made, Making, Watch
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
    given = _given(system, modality, sampling)
    if (words := given.pop("negative", None)) is not None:
        given["negative"] = generator.encode_text([words]).to(conditions.device)
    elif (given.get("guidance") or generator.defaults.guidance or 0) > 1:
        given["negative"] = system.model.nothing(modality) if modality in system.spec.signalled else None
    media: list[Any] = generator.sample(conditions, rng=rng, should_stop=should_stop, **given)
    return media


def check_options(system: System, sampling: Sampling) -> None:
    """Refuse options of media that nothing takes, before a word is said.

    Raises:
        GenerationError: The system makes no media, or no generator takes an option.
    """
    if not system.spec.outputs and (asked := _asked(sampling)):
        raise GenerationError(f"found {', '.join(sorted(asked))}, and this system makes no media; leave that out")
    for modality in system.generators:
        _given(system, modality, sampling)


def _asked(sampling: Sampling) -> dict[str, Any]:
    names = (*MediaOptions.model_fields, "negative")
    return {name: value for name in names if (value := getattr(sampling, name)) is not None}


def _given(system: System, modality: str, sampling: Sampling) -> dict[str, Any]:
    """The options of an answer that a generator takes."""
    given, own = _asked(sampling), _options(system.generators[modality])
    if unknown := given.keys() - own.union(*map(_options, system.generators.values())):
        takes = ", ".join(sorted(own)) or "none"
        raise GenerationError(
            f"found {', '.join(sorted(unknown))}, which {Group.generator(modality)} does not take; its options: {takes}"
        )
    return {name: value for name, value in given.items() if name in own}


def _options(generator: Any) -> frozenset[str]:
    own = frozenset(generator.options)
    return own | {"negative"} if isinstance(generator, ReadsText) and "guidance" in own else own


def of_words(system: System, text: str) -> tuple[dict[str, Conditions], dict[str, str]]:
    """The conditions of outputs whose generator reads the words of the reply; none where it says nothing.

    Args:
        system: The system.
        text: The reply, without its media.

    Returns:
        The conditions by modality, and by modality why a generator cannot read these words.
    """
    found: dict[str, Conditions] = {}
    refused: dict[str, str] = {}
    for modality in system.spec.worded:
        if text and modality in system.generators:
            try:
                found[modality] = cast(ReadsText, system.generators[modality]).encode_text([text])
            except ModalinkError as error:
                refused[modality] = str(error)
    return found, refused


class Maker:
    """Makes the media of one answer, one after the other in their order.

    Args:
        system: The system.
        sampling: How the answer is drawn.
        watch: Who looks on.
    """

    def __init__(self, system: System, sampling: Sampling, watch: Watch) -> None:
        self.system, self.sampling, self.watch = system, sampling, watch
        self.counts: dict[str, int] = {}

    def make(self, modality: str, conditions: Conditions | None, refused: str = "", *, number: int) -> Made:
        """The next medium; not where its generator was left out or cannot make it, or where it is stopped.

        Args:
            modality: Its modality.
            conditions: What it is made from, one item; None where there are none.
            refused: Why there are none, where a generator could not read the words of the reply.
            number: Which of the answer's media it is, from 1.
        """
        seed = self.sampling.seed + self.counts.setdefault(modality, 0)
        self.counts[modality] += 1
        generator = self.system.generators.get(modality)
        if generator is None or conditions is None:
            left_out = f"it asks for {modality}, whose generator was left out; load the run with its generators"
            missing = refused or left_out
            return Made(modality, None, None, conditions, seed, {}, missing)
        told = {name: value for name, value in generator.defaults.model_dump().items() if name in generator.options}
        options = told | _given(self.system, modality, self.sampling)
        steps = _Steps(Making(modality, number, 0, options.get("steps")), self.watch)
        medium, missing = None, ""
        try:
            rng = [torch.Generator().manual_seed(seed)]
            (medium,) = sample(self.system, modality, conditions, rng, self.sampling, steps)
        except ModalinkError as error:  # stopped, or refused: what was said and made until then is the answer
            missing = str(error)
        return Made(modality, medium, None, conditions, seed, options, missing)


class _Steps:
    """Counts a generator's steps by how often it asks whether it shall stop."""

    def __init__(self, making: Making, watch: Watch) -> None:
        self.steps, self.watch = self._count(making), watch

    def __call__(self) -> bool:
        making = next(self.steps)
        if self.watch.on_step is not None:
            self.watch.on_step(making)
        return self.watch.should_stop is not None and self.watch.should_stop()

    @staticmethod
    def _count(making: Making) -> Iterator[Making]:
        step = 0
        while True:
            known = making.steps is None or step <= making.steps
            yield Making(making.modality, making.number, step, making.steps if known else None)
            step += 1

"""The role of a generator: it makes media from conditions. What else one can do is an ability of its own.

Every generator samples. One that learns by being denoised also `Denoises`, one that has conditions for words
`ReadsText`, one whose steps from noise to media are known `Walks` (`walks.py`). Objectives ask for the abilities that
they use, so that a generator of another kind fits those without.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float, Int
from pydantic import model_validator
from torch import Tensor, nn

from modalink.errors import GenerationError, PartError, Stopped
from modalink.ragged import Ragged
from modalink.roles.conditions import Conditions, ConditionShape
from modalink.roles.media_options import MediaOptions
from modalink.roles.part import PartConfig
from modalink.roles.peft import DenoiserLora
from modalink.roles.preprocessor import Preprocessor

ShouldStop = Callable[[], bool]
"""Asked between two steps whether what is being made is still wanted."""


def check_stop(should_stop: ShouldStop | None, when: str) -> None:
    """Ask whether what is being made is still wanted.

    Raises:
        Stopped: It is not.
    """
    if should_stop is not None and should_stop():
        raise Stopped(f"a medium was stopped {when}, as was asked")


class Generator(nn.Module, ABC):
    """Makes media of one modality from conditions; frozen, but for a denoiser that its settings let learn, and kept
    outside the saved model but for that."""

    condition_shapes: Mapping[str, ConditionShape]
    """The conditions of a medium, as its settings declare them."""
    options: frozenset[str] = frozenset()
    """Further keywords that `sample` takes for one call, of the fields of `MediaOptions`."""
    defaults: MediaOptions = MediaOptions()
    """What is made where a call does not say, as its settings do."""

    @abstractmethod
    def sample(
        self,
        conditions: Conditions,
        *,
        rng: list[torch.Generator],
        negative: Conditions | None = None,
        should_stop: ShouldStop | None = None,
    ) -> list[Any]:
        """Decoded media, one an item, each from its own source of randomness; in a batch as one by one.

        Args:
            conditions: As many items as media are wanted.
            rng: A source for each.
            negative: What guidance steers away from, one item for all or as many; the null conditions if not given.
            should_stop: Asked between two steps.

        Returns:
            What the modality's record writes: PIL images, `video.Clip`, `audio.Sound`, `points.Cloud`.

        Raises:
            GenerationError: The request cannot be met; found before any work.
            Stopped: `should_stop` said so; the generator is as it was.
        """

    def checked(
        self,
        conditions: Conditions,
        *,
        rng: list[torch.Generator] | None,
        negative: Conditions | None = None,
        **options: Any,
    ) -> MediaOptions:
        """What a request to `sample` asks for, the defaults filled in; `rng` is None where nothing is drawn yet.

        Raises:
            GenerationError: Conditions are not those that are declared or no numbers, an option is unknown or has no
                such value, or a negative condition is given where no guidance would read it.
        """
        if unknown := sorted(options.keys() - self.options):
            takes = ", ".join(sorted(self.options)) or "none"
            raise GenerationError(
                f"found {', '.join(unknown)}, which this generator does not take; its options: {takes}"
            )
        given = {name: value for name, value in options.items() if value is not None}
        asked = MediaOptions.checked(**self.defaults.model_dump() | given)
        self._check("conditions", conditions)
        if rng is not None and len(rng) != len(conditions):
            raise GenerationError(
                f"found {len(rng)} sources of randomness for {len(conditions)} items, needed one each"
            )
        if negative is not None:
            self._check_negative(negative, len(conditions), asked.guidance)
        return asked

    def _check(self, what: str, conditions: Conditions) -> None:
        try:
            conditions.check(self.condition_shapes)
        except PartError as error:
            raise GenerationError(f"{what}: {error}") from None
        for name, values in conditions.tensors.items():
            if not values.isfinite().all():
                items = (~values.isfinite().flatten(1).all(1)).nonzero().flatten().tolist()
                raise GenerationError(
                    f"{what}: found NaN or infinite numbers in {name!r} of item {items[0]}, needed numbers; "
                    "the projector that made them has diverged, or reads what has"
                )

    def _check_negative(self, negative: Conditions, items: int, guidance: float | None) -> None:
        if "guidance" not in self.options:
            raise GenerationError("found a negative condition, which this generator cannot use: it has no guidance")
        if guidance is None or guidance <= 1:
            raise GenerationError(
                f"found a negative condition with guidance {guidance}, which steers away from nothing; needed a "
                "guidance above 1, or no negative condition"
            )
        self._check("negative", negative)
        if len(negative) not in (1, items):
            raise GenerationError(f"negative: found {len(negative)} items for {items} media, needed one or as many")


class Denoises(ABC):
    """The ability of a generator whose frozen networks restore media from noise."""

    @abstractmethod
    def encode_media(self, media: Ragged) -> Tensor | Sequence[Tensor]:
        """The latents that the generator learns to restore, of each preprocessed medium."""

    @abstractmethod
    def null_conditions(self, items: int) -> Conditions:
        """The conditions of so many items that ask for nothing: what guidance steers away from."""

    @abstractmethod
    def denoising_error(
        self, latents: Float[Tensor, "i ..."], conditions: Conditions, rng: list[torch.Generator]
    ) -> Float[Tensor, " i"]:
        """Mean squared error of each item's denoised noise (survey eq. 5), with noise and time from the item's rng."""


class PredictsCodes(ABC):
    """The ability of a generator whose frozen networks say the codes of a medium, each given those before it."""

    @abstractmethod
    def encode_media(self, media: Ragged) -> Sequence[Tensor]:
        """The codes of each preprocessed medium, int64."""

    @abstractmethod
    def null_conditions(self, items: int) -> Conditions:
        """The conditions of so many items that ask for nothing: what guidance steers away from."""

    @abstractmethod
    def code_error(self, codes: Int[Tensor, "i ..."], conditions: Conditions) -> Float[Tensor, " i"]:
        """Mean cross-entropy of each item's codes, each given those before it and the conditions, in nats."""


class ReadsText(ABC):
    """The ability of a generator that has conditions of its own for words."""

    @abstractmethod
    def encode_text(self, texts: list[str]) -> Conditions:
        """The generator's own conditions for captions: target of the `align` objective."""


class GeneratorConfig(PartConfig):
    """Base of generator settings."""

    room: ClassVar[str] = "modalink.generators"
    denoiser: ClassVar[str | None] = None
    """What the generator calls its network that restores media from noise, which stages can train; None if there is
    none."""

    lora: DenoiserLora | None = None
    """Adapters in the frozen denoiser, trained in the stages that name `outputs.MODALITY.generator.lora`."""
    trainable: bool = False
    """Whether stages can train the denoiser itself (`outputs.MODALITY.generator.denoiser`), which is then saved with
    the run."""

    @model_validator(mode="after")
    def _what_learns_is_there(self) -> Self:
        if self.denoiser is None and self.learns:
            key = "trainable" if self.lora is None else "lora"
            raise ValueError(
                f"found {key} in a generator of kind {self.kind!r}, needed one that restores media from noise by a "
                "network that can be trained, such as stable_diffusion; leave it out"
            )
        return self

    @property
    def learns(self) -> bool:
        """Whether something of its denoiser can be trained."""
        return self.trainable or self.lora is not None

    def denoiser_of(self, generator: Generator) -> nn.Module:
        """The denoiser of a generator that was built of settings whose denoiser `learns`."""
        assert self.denoiser is not None
        return generator.get_submodule(self.denoiser)

    @abstractmethod
    def makes(self) -> frozenset[str]:
        """The modalities that it makes."""

    @abstractmethod
    def build(self, *, weights: bool = True) -> Generator:
        """The frozen generator, which samples as these settings say."""

    @abstractmethod
    def condition_shapes(self) -> dict[str, ConditionShape]:
        """The conditions by name, read from the checkpoint's configuration without its weights.

        What output projectors shall make is declared here; constants of a request (seconds, size) are options of
        `sample`, and the generator adds them.
        """

    @abstractmethod
    def preprocessor(self) -> Preprocessor:
        """What must be done to a target medium before the generator, or an objective, reads it."""

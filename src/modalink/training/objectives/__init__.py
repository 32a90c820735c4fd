"""What a stage minimises. An objective is one file; it counts its units before the forward and sums their losses after.

The loss of a step is the sum over objectives of `weight * sum / count`, with the count of the whole step: all
micro-batches and all processes. So accumulation, packing and data parallelism give the same gradient; but what compares
the media of one pass with each other (`itc`, `itm`, `sentence_contrast`) depends on how many these are, on all of the
processes together.
"""

import random
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from modalink.data.preference import Preference, Side
from modalink.errors import TrainingError
from modalink.kinds import KindConfig
from modalink.model.batch import Batch, Targets
from modalink.model.items import Described
from modalink.recipe.groups import REWARD_HEAD, VALUE_HEAD, Group
from modalink.roles import Conditions, Generator
from modalink.training.objectives._output import (
    OF_CAPTIONS,
    OF_FROZEN,
    OF_START,
    Captioned,
    Embedded,
    Link,
    Need,
    Output,
    ReadsBack,
)
from modalink.training.randomness import ItemRngs

__all__ = [
    "OF_CAPTIONS",
    "OF_FROZEN",
    "OF_START",
    "CaptionObjectiveConfig",
    "Captioned",
    "EarlierStates",
    "Embedded",
    "GeneratorView",
    "ItemObjectiveConfig",
    "Link",
    "Need",
    "ObjectiveConfig",
    "Output",
    "ReadsBack",
    "captions_of",
    "conditions_of",
    "demand_targets",
]


@runtime_checkable
class EarlierStates(Protocol):
    """How a generator's denoiser was earlier, where the stage trains it (`training/denoiser_states.py`)."""

    def at_start(self) -> AbstractContextManager[None]:
        """Inside, it is as it was when the stage began: for passes without gradients."""

    def as_drawn(self) -> AbstractContextManager[None]:
        """Inside, it is as it was when media were drawn last: for passes without gradients."""


@runtime_checkable
class GeneratorView(Protocol):
    """What objectives ask of a generator; what does not depend on the step is computed once (`training/frozen.py`)."""

    @property
    def generator(self) -> Generator:
        """The generator itself, for objectives that know its kind."""

    @property
    def denoiser(self) -> EarlierStates:
        """How its denoiser was earlier."""

    def text_conditions(self, captions: list[str]) -> Conditions:
        """The generator's own conditions of captions."""

    def null_conditions(self) -> Conditions:
        """The conditions of one item that asks for nothing."""

    def latents(self, targets: Targets, chosen: Sequence[int]) -> list[Tensor]:
        """The latents of some of the media that shall be made, one tensor an item."""

    def denoising_error(
        self, latents: Sequence[Tensor], conditions: Conditions, rng: Sequence[Any]
    ) -> Float[Tensor, " i"]:
        """See `modalink.roles.Denoises`."""


class ObjectiveConfig(KindConfig):
    """Base of objectives."""

    room: ClassVar[str] = "modalink.training.objectives"
    needs: ClassVar[frozenset[Need]] = frozenset({"logits", "conditions"})
    """What it reads of the forward pass."""
    compares: ClassVar[bool] = False
    """Whether it compares media of all processes (`Output.peers`): then its sum is asked for on each of them, also
    where a batch has no units of it."""
    measures: ClassVar[bool] = False
    """Whether its losses need statistics of the whole step, see `statistics`."""
    mismatches: ClassVar[bool] = False
    """Whether each sample is also read with the reply of the next one of its step, as the variant `mismatched`."""
    denoises: ClassVar[bool] = False
    """Whether its losses go through a generator's denoiser, and teach it where a stage trains it."""
    diagnoses: ClassVar[tuple[str, ...]] = ()
    """What `sum` leaves in `Output.diagnostics` for people, each as the sum over a batch and the number of what was
    added, `[2]`; the step's record has the means."""
    weight: float = 1.0
    """Factor of this objective in the step's loss."""

    @classmethod
    def teaches(cls, group: Group) -> bool:
        """Whether a gradient of it can reach a group: what it reads depends on the group, if not overridden."""
        if group.is_of_denoiser:
            return cls.denoises
        return any(_reach(need, group) for need in cls.needs)

    def variants(self, preference: Preference, rng: random.Random) -> Sequence[Side]:
        """What the replies of a sample are compared with besides each other, for example the best about other media.

        Args:
            preference: The sample.
            rng: What is drawn is drawn from it: anew each time that the sample comes, the same where a run is resumed.
        """
        return ()

    def statistics(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Sums over a batch that its losses need of the whole step, before these; none if not overridden.

        Where there are some, an objective `measures`: all batches of the step are read once without gradients first.
        """
        return {}

    def won(self, output: Output, batch: Batch) -> Float[Tensor, " p"] | None:
        """Of each pair of a batch 1 where the better reply wins by what it learns, 0 where it does not, 1/2 of a draw.

        Of steps of replies 1 where what it learns says rightly whether one is right. An evaluation reports the mean and
        its standard error; None: the objective is about neither.
        """
        return None

    def noted(self, before: Mapping[str, float], totals: Mapping[str, float]) -> dict[str, float]:
        """What the losses of a step read as `Output.noted`: of the sums over all its batches and processes.

        Args:
            before: What was noted at the step before; empty at the first.
            totals: The sums.
        """
        return dict(totals)

    @abstractmethod
    def count(self, batch: Batch) -> int:
        """How many units of the batch carry this loss, known before the forward; an item without `loss` has none."""

    @abstractmethod
    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        """The sum of the units' losses, float32."""


class ItemObjectiveConfig(ObjectiveConfig):
    """Base of objectives about media that shall be made."""

    modalities: tuple[str, ...] | None = None
    """The modalities that it teaches to make; None is all."""

    reads_media: ClassVar[bool] = True
    """Whether it reads the media that stand in the data, and not only what is known of them, as their captions: where
    no objective does, none is decoded."""
    otherwise: ClassVar[str] = "choose another objective or generator"
    """What to do where a generator lacks an ability that it asks for."""

    def abilities(self) -> tuple[type, ...]:
        """What it asks of generators beside sampling, from `modalink.roles`."""
        return ()

    def targets(self, batch: Batch) -> dict[str, Targets]:
        """The batch's targets that it is about."""
        return {m: found for m, found in batch.targets.items() if self.modalities is None or m in self.modalities}


class CaptionObjectiveConfig(ObjectiveConfig):
    """Base of objectives about captions of media that are read."""

    modalities: tuple[str, ...] | None = None
    """The modalities whose captions are learned; None is all that have some."""

    def count(self, batch: Batch) -> int:
        return sum(len(found.places) for found in self.captions(batch).values())

    def captions(self, batch: Batch) -> dict[str, Described]:
        """The batch's captions that it is about."""
        return {m: d for m, d in batch.described.items() if self.modalities is None or m in self.modalities}


def captions_of(batch: Batch) -> dict[str, list[int]]:
    """Modality -> places of the media that are read whose captions are shown, see `Item.shown`."""
    found = {m: [i for i, item in enumerate(items) if item.shown and item.loss] for m, items in batch.items.items()}
    return {modality: places for modality, places in found.items() if places}


_HEADS: Mapping[str, frozenset[Need]] = {
    REWARD_HEAD: frozenset({"rewards", "step_rewards"}),
    VALUE_HEAD: frozenset({"values"}),
}
"""Groups that these fields of `Output` alone depend on."""


def _reach(need: Need, group: Group) -> bool:
    """Whether a field of `Output` depends on a group's parameters."""
    if need in OF_FROZEN:
        return False
    if group in _HEADS:
        return need in _HEADS[group]
    if need == "features":
        return group.side == "inputs" and group.part in {"encoder", "lora"}
    if need in {"prompt_tokens", "embeddings"} or need in OF_CAPTIONS:
        return group.side == "inputs"
    return need in {"conditions", "links"} or group.side != "outputs"


def conditions_of(output: Output, batch: Batch, modality: str) -> Conditions:
    """The conditions that the model made for the batch's targets of a modality.

    Raises:
        TrainingError: There is not one item of conditions for each target.
    """
    made: Conditions | None = (output.conditions or {}).get(modality)
    demand_targets(batch, modality, 0 if made is None else len(made))
    assert made is not None
    return made


def demand_targets(batch: Batch, modality: str, made: int) -> None:
    """Demand one item of conditions, or of what they are made of, for each target.

    Raises:
        TrainingError: There are more or fewer.
    """
    targets = batch.targets[modality]
    if made != len(targets.items):
        raise TrainingError(
            f"samples {', '.join(batch.samples)}: found conditions for {made} {modality} "
            f"items and {len(targets.items)} targets; each target needs its own run of signal tokens in the "
            "assistant's turn"
        )

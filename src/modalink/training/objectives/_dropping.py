"""Items that learn without conditions, for classifier-free guidance (Ho and Salimans, arXiv 2207.12598)."""

from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from jaxtyping import Bool
from pydantic import Field
from torch import Tensor

from modalink.model.batch import Targets
from modalink.roles import Conditions
from modalink.training.objectives import Output
from modalink.training.randomness import ItemRngs

Share = Annotated[float, Field(ge=0, lt=1)]


def dropped(share: float, modality: str, targets: Targets, chosen: Sequence[int], rngs: ItemRngs) -> Bool[Tensor, " i"]:
    """Which of some targets learn without conditions: the same ones in all objectives that drop as many.

    Args:
        share: How many do.
        modality: What the targets are of.
        targets: All targets of the batch: one item's draw does not depend on the marks of the others.
        chosen: Which of them are meant.
        rngs: The step's sources.
    """
    drawn = rngs.of(f"drop {modality}", targets.samples)
    return torch.stack([torch.rand((), generator=drawn[i]) for i in chosen]) < share


def nothing(output: Output, modality: str, otherwise: Callable[[], Conditions]) -> Conditions:
    """The conditions of one item that asks for nothing.

    Args:
        output: What the model made, where projectors make these, too.
        modality: The modality.
        otherwise: Gives the generator's own.
    """
    made = (output.nothing or {}).get(modality)
    return otherwise() if made is None else made

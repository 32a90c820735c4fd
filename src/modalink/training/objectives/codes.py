"""Codes: the frozen generator shall say the codes of the target medium under the conditions that are projected.

Source: teacher forcing (Williams and Zipser, A Learning Algorithm for Continually Running Fully Recurrent Neural
Networks, 1989), as MusicGen (arXiv 2306.05284) learns; dropped conditions as in classifier-free guidance (arXiv
2207.12598).
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from modalink.model.batch import Targets
from modalink.model.items import ragged
from modalink.ragged import by_shape
from modalink.roles import Conditions, PredictsCodes
from modalink.training.objectives import GeneratorView
from modalink.training.objectives._reproducing import ReproducingConfig
from modalink.training.randomness import ItemRngs


class CodesConfig(ReproducingConfig):
    """Mean cross-entropy of the target's codes, each given those before it; its unit is one target item."""

    kind: Literal["codes"] = "codes"

    def abilities(self) -> tuple[type, ...]:
        return (PredictsCodes,)

    def null_conditions(self, view: GeneratorView) -> Conditions:
        return _generator(view).null_conditions(1)

    def errors(
        self,
        view: GeneratorView,
        modality: str,
        targets: Targets,
        chosen: Sequence[int],
        conditions: Conditions,
        rngs: ItemRngs,
    ) -> Float[Tensor, " i"]:
        generator = _generator(view)
        # Not kept: numbers of codes are exact in no type that features are kept in.
        with torch.no_grad():
            codes = generator.encode_media(ragged([targets.items[i] for i in chosen]).to(conditions.device))
        return by_shape(codes, lambda same, places: generator.code_error(same, conditions.take(places)))


def _generator(view: GeneratorView) -> PredictsCodes:
    assert isinstance(view.generator, PredictsCodes)
    return view.generator

"""Preference optimisation that must look: the best reply shall be likelier about its medium than about a damaged one.

Source: mDPO, arXiv 2406.11839, eq. 4 to 6; luka-group/mDPO. There the reference is asked about another crop than the
policy, here about the same.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from jaxtyping import Float
from pydantic import Field, PositiveFloat
from torch import Tensor
from torch.nn.functional import logsigmoid

from modalink.data.damage import Damage, damaged
from modalink.data.preference import Preference, Side
from modalink.model.batch import Batch
from modalink.model.sides import pairs_of, variants
from modalink.training.objectives import GeneratorView, Need, Output
from modalink.training.objectives._replies import PairObjectiveConfig, ratios_of, sums
from modalink.training.randomness import ItemRngs

VARIANT = "damaged"


class MdpoConfig(PairObjectiveConfig):
    """DPO, the same between a medium and a damaged one, and an anchor of the best reply; its unit is one pair."""

    needs: ClassVar[frozenset[Need]] = frozenset({"logprobs", "reference_logprobs"})
    kind: Literal["mdpo"] = "mdpo"
    beta: PositiveFloat = 0.1
    """How strongly the policy holds on to the reference."""
    damage: Damage = "crop"
    """What is done to the medium: `crop` leaves `share` of it, `noise` lays noise over it, `blank` leaves nothing."""
    share: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]] = (0.01, 0.2)
    """Smallest and largest share of the area that a crop leaves."""
    conditional: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the pair of media."""
    anchor: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the anchor: the best reply shall not become less likely than it was."""

    def variants(self, preference: Preference, rng: random.Random) -> Sequence[Side]:
        media = damaged(preference, self.damage, rng, share=self.share)
        return [Side(preference.sides[0].reply, media=media, variant=VARIANT)] if media else []

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        ratios = sums(batch, ratios_of(output))
        blurred, loss = variants(batch.sides, VARIANT), ratios.new_zeros(())
        for pair in pairs_of(batch.sides):
            chosen, rejected = ratios[pair.chosen], ratios[pair.rejected]
            loss = loss - logsigmoid(self.beta * (chosen - rejected)) - self.anchor * logsigmoid(self.beta * chosen)
            other = blurred.get((batch.sides[pair.chosen].sample, batch.sides[pair.chosen].judgement.rank))
            if other is not None:
                loss = loss - self.conditional * logsigmoid(self.beta * (chosen - ratios[other]))
        return loss

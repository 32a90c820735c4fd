"""Preference optimisation whose worse reply counts half about the medium and half about a noisy one.

Source: POVID, arXiv 2402.11411, eq. 5, where the noisy picture is 500 steps of diffusion away; here it is a mixture
with noise of as much as then.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from jaxtyping import Float
from pydantic import Field, PositiveFloat
from torch import Tensor
from torch.nn.functional import logsigmoid

from modalink.data.damage import damaged
from modalink.data.preference import Preference, Side
from modalink.model.batch import Batch
from modalink.model.sides import pairs_of, variants
from modalink.training.objectives import GeneratorView, Need, Output
from modalink.training.objectives._replies import PairObjectiveConfig, ratios_of, sums
from modalink.training.randomness import ItemRngs

VARIANT = "noisy"


class PovidConfig(PairObjectiveConfig):
    """DPO with a worse reply about two media; its unit is one pair."""

    needs: ClassVar[frozenset[Need]] = frozenset({"logprobs", "reference_logprobs"})
    kind: Literal["povid"] = "povid"
    beta: PositiveFloat = 0.1
    """How strongly the policy holds on to the reference."""
    noisy: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the worse reply about the noisy medium."""

    def variants(self, preference: Preference, rng: random.Random) -> Sequence[Side]:
        media = damaged(preference, "noise", rng)
        worst = [side for side in preference.sides if side.variant is None][1:]
        sides = [Side(side.reply, media=media, variant=VARIANT, rank=rank) for rank, side in enumerate(worst, start=1)]
        return sides if media else []

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        ratios = sums(batch, ratios_of(output))
        noisy, loss = variants(batch.sides, VARIANT), ratios.new_zeros(())
        for pair in pairs_of(batch.sides):
            side = batch.sides[pair.rejected]
            worse, other = ratios[pair.rejected], noisy.get((side.sample, side.judgement.rank))
            if other is not None:
                worse = (1 - self.noisy) * worse + self.noisy * ratios[other]
            loss = loss - logsigmoid(self.beta * (ratios[pair.chosen] - worse))
        return loss

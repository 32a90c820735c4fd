"""Preference optimisation guided by what is seen: what a reply would be without its medium is taken off.

Source: V-DPO, arXiv 2411.02712, section 3: log-probabilities are guided as by classifier-free guidance, from where the
two replies part; no gradient goes to those without the medium.
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
from modalink.training.objectives._replies import PairObjectiveConfig, ratios_of, sums, weighted
from modalink.training.randomness import ItemRngs

VARIANT = "unseen"


class VDpoConfig(PairObjectiveConfig):
    """DPO of `guidance` * (with the medium) - (`guidance` - 1) * (without it); its unit is one pair."""

    needs: ClassVar[frozenset[Need]] = frozenset({"logprobs", "reference_logprobs"})
    kind: Literal["v_dpo"] = "v_dpo"
    beta: PositiveFloat = 0.1
    """How strongly the policy holds on to the reference."""
    guidance: Annotated[float, Field(ge=1)] = 1.5
    """How strongly what is seen counts; 1 is DPO."""
    damage: Damage = "blank"
    """What stands in the place of the medium."""

    def variants(self, preference: Preference, rng: random.Random) -> Sequence[Side]:
        media = damaged(preference, self.damage, rng)
        sides = enumerate(side for side in preference.sides if side.variant is None)
        return [Side(side.reply, media=media, variant=VARIANT, rank=rank) for rank, side in sides] if media else []

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        each, unseen = ratios_of(output), variants(batch.sides, VARIANT)
        seen, loss = sums(batch, each), each.new_zeros(())
        for pair in pairs_of(batch.sides):
            start = _parting(batch.sides[pair.chosen].tokens, batch.sides[pair.rejected].tokens)
            behind = weighted(batch, each, [[float(n >= start) for n in range(len(s.tokens))] for s in batch.sides])

            def guided(place: int, behind: Tensor = behind) -> Float[Tensor, ""]:
                other = unseen.get((batch.sides[place].sample, batch.sides[place].judgement.rank))
                if other is None:
                    return seen[place]
                return seen[place] + (self.guidance - 1) * (behind[place] - behind[other].detach())

            loss = loss - logsigmoid(self.beta * (guided(pair.chosen) - guided(pair.rejected)))
        return loss


def _parting(one: Sequence[int], other: Sequence[int]) -> int:
    """Where two replies part."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (mine, theirs) in pairs if mine != theirs), min(len(one), len(other)))

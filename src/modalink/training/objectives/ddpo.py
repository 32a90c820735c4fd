"""Dense direct preference optimisation: where a correction changed a reply, its tokens weigh more.

Source: RLHF-V, arXiv 2312.00849, eq. 2 and 3. Its released code (thunlp/Muffin) has the weight 1.1 and does not divide;
there as here tokens are unchanged that stand in runs of three at least in both replies.
"""

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import ClassVar, Literal

from jaxtyping import Float
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn.functional import logsigmoid

from modalink.model.batch import Batch
from modalink.model.sides import Pair, pairs_of
from modalink.training.objectives import GeneratorView, Need, Output
from modalink.training.objectives._replies import PairObjectiveConfig, ratios_of, weighted
from modalink.training.randomness import ItemRngs


class DdpoConfig(PairObjectiveConfig):
    """The loss of pairs of a reply and its correction; its unit is one pair."""

    needs: ClassVar[frozenset[Need]] = frozenset({"logprobs", "reference_logprobs"})
    kind: Literal["ddpo"] = "ddpo"
    beta: PositiveFloat = 0.5
    """How strongly the policy holds on to the reference."""
    changed: PositiveFloat = 5.0
    """Weight of tokens that differ between the two replies; others weigh 1."""
    divide: bool = True
    """Whether the sum is divided by the weights, so that a reply's length does not count."""
    shortest_run: PositiveInt = 3
    """So many tokens in a row must be the same in both replies to count as unchanged."""

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        ratios = ratios_of(output)
        losses = [self._loss(batch, ratios, pair) for pair in pairs_of(batch.sides)]
        return sum(losses, ratios.new_zeros(()))

    def _loss(self, batch: Batch, ratios: Float[Tensor, " m"], pair: Pair) -> Float[Tensor, ""]:
        chosen, rejected = (batch.sides[place].tokens for place in (pair.chosen, pair.rejected))
        same = unchanged(chosen, rejected, self.shortest_run)
        weights = {
            place: [1.0 if kept else self.changed for kept in own]
            for place, own in zip((pair.chosen, pair.rejected), same, strict=True)
        }
        found = weighted(
            batch, ratios, [weights.get(s, [0.0] * len(side.tokens)) for s, side in enumerate(batch.sides)]
        )
        per = {place: sum(own) if self.divide else 1.0 for place, own in weights.items()}
        gain = found[pair.chosen] / per[pair.chosen] - found[pair.rejected] / per[pair.rejected]
        return -logsigmoid(self.beta * gain)


def unchanged(chosen: Sequence[int], rejected: Sequence[int], shortest: int) -> tuple[list[bool], list[bool]]:
    """Which tokens of two replies are the same, in runs of at least so many."""
    same = [False] * len(chosen), [False] * len(rejected)
    for run in SequenceMatcher(a=chosen, b=rejected, autojunk=False).get_matching_blocks():
        if run.size >= shortest:
            for marks, start in zip(same, (run.a, run.b), strict=True):
                marks[start : start + run.size] = [True] * run.size
    return same

"""Replies that are each good or bad: the good shall gain on the reference, the bad lose, measured by how far all moved.

Source: KTO, arXiv 2402.01306, eq. 7 and 8; compared with TRL 1.16's `KTOTrainer._compute_loss`. How far all moved is
the mean log-ratio of replies to other prompts, over the whole step and all processes.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor

from modalink.model.batch import Batch
from modalink.model.sides import by_sample, variants
from modalink.training.objectives import GeneratorView, Need, ObjectiveConfig, Output
from modalink.training.objectives._replies import ratios_of, sums
from modalink.training.randomness import ItemRngs
from modalink.training.statistics import MISMATCHED


class KtoConfig(ObjectiveConfig):
    """1 - the value of each reply; its unit is one reply. Of replies that are ranked the best is good, the last bad."""

    needs: ClassVar[frozenset[Need]] = frozenset({"logprobs", "reference_logprobs"})
    measures: ClassVar[bool] = True
    mismatches: ClassVar[bool] = True
    kind: Literal["kto"] = "kto"
    beta: PositiveFloat = 0.1
    """How strongly the policy holds on to the reference."""
    desirable: PositiveFloat = 1.0
    """Weight of good replies; times their number, it should be 1 to 4/3 of that of bad ones times theirs."""
    undesirable: PositiveFloat = 1.0
    """Weight of bad replies."""

    def count(self, batch: Batch) -> int:
        return len(_labels(batch))

    def statistics(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        ratios = sums(batch, ratios_of(output))
        places = [*variants(batch.sides, MISMATCHED).values()]
        return {"moved": ratios[places].sum(), "count": ratios.new_tensor(float(len(places)))}

    def noted(self, before: Mapping[str, float], totals: Mapping[str, float]) -> dict[str, float]:
        return {"moved": max(0.0, totals["moved"] / totals["count"]) if totals["count"] else 0.0}

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        labels, ratios = _labels(batch), sums(batch, ratios_of(output))
        good = ratios.new_tensor([1.0 if label else -1.0 for label in labels.values()])
        weights = ratios.new_tensor([self.desirable if label else self.undesirable for label in labels.values()])
        gain = good * self.beta * (ratios[[*labels]] - output.noted.get("moved", 0.0))
        return (weights * (1 - torch.sigmoid(gain))).sum()


def _labels(batch: Batch) -> dict[int, bool]:
    """The places of the replies that are good or bad."""
    found: dict[int, bool] = {}
    for own in by_sample(batch.sides):
        replies = [place for place in own if batch.sides[place].judgement.variant is None and batch.sides[place].tokens]
        for place in replies:
            label = batch.sides[place].judgement.label
            if label is not None:
                found[place] = label
        if len(replies) > 1 and not any(place in found for place in replies):
            ranked = sorted(replies, key=lambda place: batch.sides[place].judgement.rank)
            found |= {ranked[0]: True, ranked[-1]: False}
    return found

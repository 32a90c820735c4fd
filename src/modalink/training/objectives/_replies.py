"""What objectives about replies share: log-probabilities and log-ratios of the sides of a batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from modalink.model.batch import Batch
from modalink.model.sides import Pair, pairs_of, per_side
from modalink.training.objectives import ObjectiveConfig, Output


class PairObjectiveConfig(ObjectiveConfig):
    """Base of objectives whose unit is a pair of replies to one prompt, of which one is better."""

    def count(self, batch: Batch) -> int:
        return len(pairs_of(batch.sides))

    def won(self, output: Output, batch: Batch) -> Float[Tensor, " p"] | None:
        """By the log-ratios to the reference, or without one by log-probabilities; sums over tokens."""
        values = logprobs_of(output) if output.reference_logprobs is None else ratios_of(output)
        return wins(PairSums.of(sums(batch, values), pairs_of(batch.sides)))


def logprobs_of(output: Output) -> Float[Tensor, " m"]:
    """Log-probability of each labelled token."""
    assert output.logprobs is not None
    return output.logprobs


def ratios_of(output: Output) -> Float[Tensor, " m"]:
    """Log-ratio of policy to reference of each labelled token."""
    assert output.reference_logprobs is not None
    return logprobs_of(output) - output.reference_logprobs


def tokens_of(batch: Batch, like: Tensor) -> Float[Tensor, " s"]:
    """How many labelled tokens each side has."""
    return like.new_tensor([float(len(side.tokens)) for side in batch.sides])


@dataclass(frozen=True)
class PairSums:
    """Numbers of the sides of pairs, one a pair."""

    chosen: Float[Tensor, " p"]
    rejected: Float[Tensor, " p"]

    @classmethod
    def of(cls, values: Float[Tensor, " s"], pairs: Sequence[Pair]) -> "PairSums":
        """Those of each pair, from those of each side."""
        return cls(values[[pair.chosen for pair in pairs]], values[[pair.rejected for pair in pairs]])


def wins(values: PairSums) -> Float[Tensor, " p"]:
    """Of each pair 1 where the better reply has the larger number, 1/2 where both have the same."""
    return (torch.sign(values.chosen - values.rejected) + 1) / 2


def weighted(batch: Batch, values: Float[Tensor, " m"], weights: Sequence[Sequence[float]]) -> Float[Tensor, " s"]:
    """The sum of each side's values, each times its weight, which are known on the host."""
    flat = values.new_tensor([weight for own in weights for weight in own])
    return per_side(values * flat, batch.sides)


def sums(batch: Batch, values: Float[Tensor, " m"]) -> Float[Tensor, " s"]:
    """The sum of each side's values."""
    return per_side(values, batch.sides)


def means(batch: Batch, values: Float[Tensor, " m"]) -> Float[Tensor, " s"]:
    """The mean of each side's values."""
    return per_side(values, batch.sides, torch.mean)

"""Replies to the same prompt in a batch: which is better, and which labelled tokens are whose."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, combinations, pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from modalink.model.sampled import Sampled


@dataclass(frozen=True)
class Judgement:
    """What is known of the worth of a reply, beside others to the same prompt.

    Args:
        rank: Its place among them, from 0, the best.
        score: Its worth as a number, larger is better, where that is known.
        label: Whether it is good, where it was judged alone.
        variant: What was changed of the reply of this rank, or of its prompt, by the objective that asked for it, for
            example `damaged` media; None of a reply as the data hold it.
        steps: Of a reply in steps the worth of each, from 0 to 1; None of one that nobody judged.
    """

    rank: int = 0
    score: float | None = None
    label: bool | None = None
    variant: str | None = None
    steps: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class SideTokens:
    """One side of a sample in a batch.

    Args:
        sample: Which sample of the batch it belongs to, where alternatives count as one with theirs.
        judgement: What is known of it.
        tokens: Its labelled tokens; those of all sides, one behind the other, are the batch's `wanted`.
        sampled: What is known of it where the policy drew it.
    """

    sample: int
    judgement: Judgement
    tokens: tuple[int, ...]
    sampled: Sampled | None = None

    @property
    def is_best(self) -> bool:
        """Whether it is what a model should say: the best reply as it stands in the data, and not called bad."""
        judged = self.judgement
        return not judged.rank and judged.variant is None and judged.label is not False


@dataclass(frozen=True)
class Pair:
    """Two replies to one prompt by their places in the batch, the better first.

    Args:
        chosen: The better.
        rejected: The worse.
        margin: By how much, where both have a score.
    """

    chosen: int
    rejected: int
    margin: float | None = None


def pairs_of(sides: Sequence[SideTokens], *, ties: bool = False) -> list[Pair]:
    """All pairs of a batch: of replies that are ranked, each with each worse one.

    Args:
        sides: The sides of the batch.
        ties: Whether replies of the same score make a pair, too; its margin is 0.
    """
    found = []
    for own in by_sample(sides):
        ranked = sorted((p for p in own if sides[p].judgement.variant is None), key=lambda p: sides[p].judgement.rank)
        for better, worse in combinations(ranked, 2):
            scores = sides[better].judgement.score, sides[worse].judgement.score
            margin = None if scores[0] is None or scores[1] is None else scores[0] - scores[1]
            if margin is None or margin > 0 or (ties and margin == 0):
                found.append(Pair(better, worse, margin))
    return found


def by_sample(sides: Sequence[SideTokens]) -> list[list[int]]:
    """The places of each sample's sides."""
    found: dict[int, list[int]] = {}
    for place, side in enumerate(sides):
        found.setdefault(side.sample, []).append(place)
    return [*found.values()]


def variants(sides: Sequence[SideTokens], name: str) -> dict[tuple[int, int], int]:
    """The places of the sides that are such a variant, by their sample and rank."""
    chosen = ((place, side) for place, side in enumerate(sides) if side.judgement.variant == name)
    return {(side.sample, side.judgement.rank): place for place, side in chosen}


def spans(sides: Sequence[SideTokens]) -> Iterator[tuple[int, int]]:
    """Where the labelled tokens of each side begin and end among those of the batch."""
    return pairwise(accumulate((len(side.tokens) for side in sides), initial=0))


def per_side(
    values: Float[Tensor, " m"],
    sides: Sequence[SideTokens],
    reduce: Callable[[Float[Tensor, " n"]], Float[Tensor, ""]] = torch.sum,
) -> Float[Tensor, " s"]:
    """One number a side from one number a labelled token: by default their sum; 0 where a side has none.

    Not by an indexed sum, which adds in another order each time on an accelerator.
    """
    parts = (values[start:end] for start, end in spans(sides))
    return torch.stack([reduce(part) if len(part) else values.new_zeros(()) for part in parts])

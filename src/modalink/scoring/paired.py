"""Whether two systems differ on the same questions, each trained with several seeds.

Scores are an array `[s, n]`: a row for each seed, a column for each question. Of both systems the same seeds and the
same questions stand at the same places.

Source: Q. McNemar, Note on the sampling error of the difference between correlated proportions (1947), in its exact
form; S. Holm, A simple sequentially rejective multiple test procedure (1979); intervals by resampling both seeds and
questions, the crossed bootstrap of A. Owen, The pigeonhole bootstrap (2007).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from jaxtyping import Float

from modalink.scoring import bootstrap
from modalink.scoring.bootstrap import REPLICATES

Scores = Float[np.ndarray, "s n"]


@dataclass(frozen=True)
class Difference:
    """What is between two systems."""

    value: float
    """The first one's mean score minus the second one's."""
    interval: tuple[float, float]
    """95 % of what other seeds and other questions would give."""
    by_seed: tuple[float, ...]
    """The difference of each seed."""
    p_value: float
    """Two-sided: how often so large a difference would come about between equal systems on other questions."""
    test: str
    """`mcnemar` or `randomisation`."""


def difference(left: Scores, right: Scores, seed: int = 0) -> Difference:
    """How far two systems are apart, and whether by more than chance.

    With one seed, and answers that are right or wrong, the test is McNemar's exact one. Otherwise it exchanges the two
    systems' answers to a question, those of all seeds together, since they are about the same question.

    Args:
        left: Scores of the first system.
        right: Scores of the second, of the same seeds and questions.
        seed: Decides the resampling.
    """
    binary = len(left) == 1 and bool(np.isin([left, right], (0, 1)).all())
    if binary:
        p_value = mcnemar(int(((left == 1) & (right == 0)).sum()), int(((left == 0) & (right == 1)).sum()))
    else:
        first, second = (bootstrap.means(scores.mean(axis=0)) for scores in (left, right))
        p_value = bootstrap.compare(first, second, seed=seed).p_value
    gains = left - right
    return Difference(
        float(gains.mean()),
        interval(gains, seed=seed),
        tuple(gains.mean(axis=1).tolist()),
        p_value,
        "mcnemar" if binary else "randomisation",
    )


def mcnemar(only_left: int, only_right: int) -> float:
    """The two-sided p-value of McNemar's exact test.

    Args:
        only_left: Questions that the first system alone answers rightly.
        only_right: Questions that the second alone does.
    """
    count = only_left + only_right
    tail = sum(comb(count, k) for k in range(min(only_left, only_right) + 1))
    return min(1.0, 2 * tail / 2**count)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number, so that the chance of any false alarm stays what one test's would be."""
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected


def interval(scores: Scores, replicates: int = REPLICATES, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of a mean score, over other seeds and other questions; of one seed over questions alone."""
    rng = np.random.default_rng(seed)
    seeds, questions = scores.shape
    by_seed = rng.multinomial(seeds, np.full(seeds, 1 / seeds), replicates)
    by_question = rng.multinomial(questions, np.full(questions, 1 / questions), replicates)
    drawn = np.einsum("bs,sn,bn->b", by_seed, scores, by_question, optimize=True) / scores.size
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)

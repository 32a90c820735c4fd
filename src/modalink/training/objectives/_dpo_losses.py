"""What a pair of replies costs by the losses of direct preference optimisation that differ in this formula alone.

All were compared with TRL 1.16's `DPOTrainer._compute_loss`, but `cdpo`, which it does not have.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid


@dataclass(frozen=True)
class Pairs:
    """Pairs of replies, as a loss sees them.

    Args:
        chosen: Log-ratio of policy to reference of each better reply, summed over its tokens.
        rejected: The same of each worse reply.
        chosen_tokens: How many tokens each better reply has.
        rejected_tokens: The same of each worse reply.
        beta: How strongly the policy holds on to the reference, for each pair.
        smoothing: Share of pairs that are taken to be the wrong way round.
    """

    chosen: Float[Tensor, " p"]
    rejected: Float[Tensor, " p"]
    chosen_tokens: Float[Tensor, " p"]
    rejected_tokens: Float[Tensor, " p"]
    beta: Float[Tensor, " p"]
    smoothing: float = 0.0

    @property
    def gain(self) -> Float[Tensor, " p"]:
        """By how much more the better reply has gained on the reference than the worse, times beta."""
        return self.beta * (self.chosen - self.rejected)

    @property
    def mean_gain(self) -> Float[Tensor, " p"]:
        """The same of means over tokens, not times beta."""
        return self.chosen / self.chosen_tokens - self.rejected / self.rejected_tokens


PairLoss = Callable[[Pairs], Float[Tensor, " p"]]


def sigmoid(pairs: Pairs) -> Float[Tensor, " p"]:
    """DPO, arXiv 2305.18290, eq. 7."""
    return -logsigmoid(pairs.gain)


def ipo(pairs: Pairs) -> Float[Tensor, " p"]:
    """IPO, arXiv 2310.12036, eq. 17, of means over tokens; its beta is the paper's tau."""
    return (pairs.mean_gain - 1 / (2 * pairs.beta)) ** 2


def hinge(pairs: Pairs) -> Float[Tensor, " p"]:
    """SLiC's hinge, arXiv 2305.10425, as RSO (arXiv 2309.06657) takes it."""
    return torch.relu(1 - pairs.gain)


def robust(pairs: Pairs) -> Float[Tensor, " p"]:
    """Robust DPO, arXiv 2403.00409: unbiased where a share of the pairs is the wrong way round."""
    share = pairs.smoothing
    return (-(1 - share) * logsigmoid(pairs.gain) + share * logsigmoid(-pairs.gain)) / (1 - 2 * share)


def cdpo(pairs: Pairs) -> Float[Tensor, " p"]:
    """Conservative DPO (Mitchell 2023): smoothed labels."""
    share = pairs.smoothing
    return -(1 - share) * logsigmoid(pairs.gain) - share * logsigmoid(-pairs.gain)


def sigmoid_norm(pairs: Pairs) -> Float[Tensor, " p"]:
    """Length-normalised DPO (Tulu 3, arXiv 2411.15124, eq. 6): of means over tokens."""
    return -logsigmoid(pairs.beta * pairs.mean_gain)


def nca_pair(pairs: Pairs) -> Float[Tensor, " p"]:
    """NCA for pairs, arXiv 2402.05369."""
    chosen, rejected = pairs.beta * pairs.chosen, pairs.beta * pairs.rejected
    return -logsigmoid(chosen) - 0.5 * logsigmoid(-chosen) - 0.5 * logsigmoid(-rejected)


def sppo_hard(pairs: Pairs) -> Float[Tensor, " p"]:
    """SPPO with certain wins, arXiv 2405.00675, eq. 4.7."""
    return (pairs.chosen - 0.5 / pairs.beta) ** 2 + (pairs.rejected + 0.5 / pairs.beta) ** 2


def apo_zero(pairs: Pairs) -> Float[Tensor, " p"]:
    """APO-zero, arXiv 2408.06266, eq. 7: where better replies are better than what the system says by itself."""
    return 1 - torch.sigmoid(pairs.beta * pairs.chosen) + torch.sigmoid(pairs.beta * pairs.rejected)


def apo_down(pairs: Pairs) -> Float[Tensor, " p"]:
    """APO-down, arXiv 2408.06266, eq. 8: where better replies too are worse than what the system says by itself."""
    return torch.sigmoid(pairs.beta * pairs.chosen) + 1 - torch.sigmoid(pairs.gain)


def exo_pair(pairs: Pairs) -> Float[Tensor, " p"]:
    """EXO for pairs, arXiv 2402.00856, eq. 16."""
    share = torch.tensor(pairs.smoothing, dtype=pairs.chosen.dtype)
    kept = torch.sigmoid(pairs.gain) * (logsigmoid(pairs.gain) - torch.log1p(-share))
    return kept + torch.sigmoid(-pairs.gain) * (logsigmoid(-pairs.gain) - torch.log(share))


LOSSES: dict[str, PairLoss] = {
    loss.__name__: loss
    for loss in (*(sigmoid, ipo, hinge, robust, cdpo, sigmoid_norm, nca_pair, sppo_hard, apo_zero, apo_down, exo_pair),)
}
SMOOTHED = frozenset({"robust", "cdpo", "exo_pair"})
"""Losses that read `smoothing`."""

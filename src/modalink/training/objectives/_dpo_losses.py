"""The losses of direct preference optimisation that differ in the formula of a pair alone.

Each gets the log-ratios of policy to reference of the better reply (`chosen`) and of the worse (`rejected`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid


@dataclass(frozen=True)
class Ratios:
    """Log-ratios of policy to reference of pairs, summed over tokens.

    Args:
        chosen: Of the better replies.
        rejected: Of the worse.
        beta: How strongly each pair holds on to the reference.
    """

    chosen: Float[Tensor, " p"]
    rejected: Float[Tensor, " p"]
    beta: Float[Tensor, " p"]


PairLoss = Callable[[Ratios], Float[Tensor, " p"]]


def sigmoid(ratios: Ratios) -> Float[Tensor, " p"]:
    """-log sigmoid(beta (chosen - rejected)); arXiv 2305.18290, eq. 7."""
    return -logsigmoid(ratios.beta * (ratios.chosen - ratios.rejected))


LOSSES: dict[str, PairLoss] = {"sigmoid": sigmoid}

"""How much better than expected each token of a step's replies was, by the values that a head gives them (PPO)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from modalink.kinds import Settings
from modalink.training import parallel
from modalink.training.policy_gradient import generalised_advantages, token_rewards, whitened


class Gae(Settings):
    """How advantages are estimated from values (arXiv 1506.02438); the defaults are TRL's."""

    gamma: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Discount of later rewards, a token."""
    lam: Annotated[float, Field(ge=0, le=1)] = 0.95
    """Weight of later errors: 0 trusts the values, 1 the rewards."""
    whiten: bool = True
    """Whether the advantages of a step get a mean of 0 and a variance of 1."""
    whiten_rewards: bool = False
    """Whether the rewards of its tokens get a variance of 1, too; their mean stays."""


@dataclass(frozen=True)
class Judged:
    """A reply that was drawn, with numbers of its tokens.

    Args:
        score: What it is worth.
        old: Log-probabilities when it was drawn.
        reference: The same in the state in which the stage began.
        values: What was expected from each token on.
        counts: Whether it teaches anything.
    """

    score: float
    old: Sequence[float]
    reference: Sequence[float]
    values: Sequence[float]
    counts: bool = True


@dataclass(frozen=True)
class TokenAdvantages:
    """What training needs of the same replies.

    Args:
        advantages: Of each token of each reply.
        returns: What should have been expected from each on.
        explained: The share of the variance of returns that the values foresaw, over all processes; below 0 where the
            mean of the returns would have been the better guess.
    """

    advantages: list[list[float]]
    returns: list[list[float]]
    explained: float


def token_advantages(replies: Sequence[Judged], settings: Gae, kl: float) -> TokenAdvantages:
    """The advantages of this process's replies, in float64; all processes ask this together.

    Args:
        replies: They.
        settings: How advantages are estimated.
        kl: Weight of the divergence that is taken from the reward of each token.
    """
    lengths = [len(reply.old) for reply in replies]
    old, reference, values = (_rows([getattr(one, name) for one in replies]) for name in ("old", "reference", "values"))
    mask = _rows([[1.0] * length for length in lengths])
    scores = torch.tensor([reply.score for reply in replies], dtype=torch.float64)
    counted = mask * torch.tensor([float(reply.counts) for reply in replies], dtype=mask.dtype)[:, None]
    rewards = token_rewards(scores, old - reference, mask, kl)
    if settings.whiten_rewards:
        mean, variance = moments(rewards, counted)
        rewards = (whitened(rewards, mask, mean, variance) + mean) * mask
    advantages, returns = generalised_advantages(rewards, values, mask, settings.gamma, settings.lam)
    explained = explained_variance(values, returns, counted)
    if settings.whiten:
        advantages = whitened(advantages, mask, *moments(advantages, counted))
    return TokenAdvantages(_cut(advantages, lengths), _cut(returns, lengths), explained)


def moments(values: Float[Tensor, "b t"], mask: Float[Tensor, "b t"]) -> tuple[float, float]:
    """Mean of the tokens of all processes, and their variance with Bessel's correction; 0 and 1 where there are none.

    Args:
        values: Numbers of this process's tokens.
        mask: 1 for those that count.
    """
    total, count = parallel.summed([float((values * mask).sum()), float(mask.sum())])
    if not count:
        return 0.0, 1.0
    mean = total / count
    (squares,) = parallel.summed([float(((values - mean).square() * mask).sum())])
    return mean, squares / max(1.0, count - 1)


def explained_variance(
    values: Float[Tensor, "b t"], returns: Float[Tensor, "b t"], mask: Float[Tensor, "b t"]
) -> float:
    """1 - Var(returns - values) / Var(returns) over the tokens of all processes; 0 where returns do not differ."""
    _, variance = moments(returns, mask)
    _, left = moments(returns - values, mask)
    return 1 - left / variance if variance > 1e-12 else 0.0


def _rows(rows: Sequence[Sequence[float]]) -> Float[Tensor, "b t"]:
    if not rows:
        return torch.zeros(0, 1, dtype=torch.float64)
    return pad_sequence([torch.tensor([*row], dtype=torch.float64) for row in rows], batch_first=True)


def _cut(rows: Float[Tensor, "b t"], lengths: Sequence[int]) -> list[list[float]]:
    return [row[:length].tolist() for row, length in zip(rows, lengths, strict=True)]

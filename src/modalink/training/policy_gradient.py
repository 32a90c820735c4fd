"""The arithmetic of policy gradients: pure functions of log-probabilities, rewards and values.

Rows are replies, columns their tokens; a mask says which columns are tokens that the policy chose. Names: `log_ratio`
is the log-probability under the policy that learns minus that under the policy that drew; `reference` the
log-probabilities in the state in which the stage began.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from modalink.model.sides import SideTokens, spans

Comparison = Literal["grpo", "dr_grpo", "batch", "rloo", "reinforce"]
Ratio = Literal["token", "sequence", "sequence_sum"]
Clip = Literal["ppo", "cispo", "none"]
Aggregation = Literal["grpo", "bnpo", "dapo", "dr_grpo"]
Kl = Literal["k1", "k2", "k3", "k3_ratio"]
EPSILON = 1e-4
"""Added to standard deviations."""


def drawn_logprobs(
    logits: Float[Tensor, "m v"], wanted: Int[Tensor, " m"], sides: Sequence[SideTokens]
) -> Float[Tensor, " m"]:
    """Log-probability of each labelled token as the engine draws: scores divided by the temperature, without the tokens
    that could not come.

    Args:
        logits: One row for each labelled token.
        wanted: These tokens.
        sides: Whose they are.
    """
    scores = logits.double() if logits.dtype is torch.float64 else logits.float()
    known = [(side, *span) for side, span in zip(sides, spans(sides), strict=True) if side.sampled is not None]
    if not known:
        return scores.log_softmax(-1).gather(1, wanted[:, None])[:, 0]
    first = known[0][0].sampled
    assert first is not None
    scores = scores / first.drawing.temperature
    if first.drawing.never:
        scores = scores.index_fill(1, torch.tensor(first.drawing.never, device=scores.device), -torch.inf)
    barred = [(start + place, token) for side, start, _ in known for place, token in (side.sampled or first).barred]
    if barred:
        rows, tokens = (torch.tensor(own, device=scores.device) for own in zip(*barred, strict=True))
        scores = scores.index_put((rows, tokens), scores.new_tensor(-torch.inf))
    return scores.log_softmax(-1).gather(1, wanted[:, None])[:, 0]


def outcome_advantages(
    rewards: Sequence[Sequence[float]], kind: Comparison, everything: Sequence[float]
) -> list[list[float]]:
    """The advantage of each reply over others, from rewards of whole replies.

    Args:
        rewards: Those of each prompt's replies.
        kind: `grpo` subtracts the mean of the prompt's replies and divides by their standard deviation (arXiv
            2402.03300, section 4.1.2); `dr_grpo` does not divide (2503.20783); `batch` divides by the standard
            deviation of all rewards of the step (2508.08221); `rloo` subtracts the mean of the other replies
            (2402.14740, eq. 8); `reinforce` subtracts the mean of all rewards of the step.
        everything: All rewards of the step, of all processes.

    Returns:
        As many numbers; 0 where a prompt has one reply, whose worth no other tells.
    """
    return [_group(own, kind, everything) for own in rewards]


def _group(own: Sequence[float], kind: Comparison, everything: Sequence[float]) -> list[float]:
    if kind == "reinforce":
        return [reward - _mean(everything) for reward in own]
    if len(own) < 2:
        return [0.0] * len(own)
    centred = [reward - _mean(own) for reward in own]
    if kind == "rloo":
        return [value * len(own) / (len(own) - 1) for value in centred]
    scale = {"grpo": own, "batch": everything}.get(kind)
    return centred if scale is None else [value / (_deviation(scale) + EPSILON) for value in centred]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _deviation(values: Sequence[float]) -> float:
    """With Bessel's correction."""
    mean = _mean(values)
    return float((sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1)) ** 0.5)


def generalised_advantages(
    rewards: Float[Tensor, "b t"],
    values: Float[Tensor, "b t"],
    mask: Float[Tensor, "b t"],
    gamma: float,
    lam: float,
) -> tuple[Float[Tensor, "b t"], Float[Tensor, "b t"]]:
    """Generalised advantage estimation of each token, not whitened (arXiv 1506.02438, eq. 16).

    Args:
        rewards: Of each token.
        values: What is expected from each token on.
        mask: 1 for tokens that were chosen; others are passed over.
        gamma: Discount.
        lam: Weight of later errors.

    Returns:
        Advantages, and the returns that values should be.
    """
    later = following = torch.zeros_like(rewards[:, 0])
    found = []
    for t in reversed(range(rewards.shape[1])):
        there = mask[:, t]
        error = rewards[:, t] + gamma * following - values[:, t]
        later = there * (error + gamma * lam * later) + (1 - there) * later
        following = there * values[:, t] + (1 - there) * following
        found.append(later)
    advantages = torch.stack(found[::-1], 1)
    return advantages, advantages + values


def token_rewards(
    scores: Float[Tensor, " b"], log_ratio: Float[Tensor, "b t"], mask: Float[Tensor, "b t"], kl: float
) -> Float[Tensor, "b t"]:
    """The reward of each token: at the last one the reply's, and at each its share of the divergence taken off.

    Source: Ziegler et al., arXiv 1909.08593, eq. 2, with k1.

    Args:
        scores: What the replies are worth.
        log_ratio: Log-probability when they were drawn minus that in the state in which the stage began.
        mask: 1 for tokens that were chosen; a reply's stand at its beginning.
        kl: Weight of the divergence.
    """
    last = torch.arange(mask.shape[1], device=mask.device) == mask.sum(1, keepdim=True) - 1
    return scores[:, None] * last - kl * log_ratio * mask


def kl_penalty(
    logprobs: Float[Tensor, "b t"], reference: Float[Tensor, "b t"], kind: Kl, ratio: Float[Tensor, "b n"] | None = None
) -> Float[Tensor, "b t"]:
    """What each token tells of the divergence from the reference (Schulman, "Approximating KL divergence", 2020).

    With D = reference - logprobs: `k1` is -D, `k2` D²/2, `k3` e^D - D - 1, `k3_ratio` the last times the ratio. As a
    term of the loss the gradient of `k2` and of `k3_ratio` is on average that of KL(policy || reference), which is
    wanted; that of `k3` is the other direction's, and that of `k1` is zero. As part of the reward `k1` is unbiased.
    """
    difference = reference - logprobs
    if kind == "k1":
        return -difference
    if kind == "k2":
        return difference.square() / 2
    k3 = difference.exp() - difference - 1
    return k3 if kind == "k3" or ratio is None else k3 * ratio


def importance(log_ratio: Float[Tensor, "b t"], mask: Float[Tensor, "b t"], kind: Ratio) -> Float[Tensor, "b n"]:
    """How much likelier each token, or each reply, has become: `[b t]` of tokens, `[b 1]` of replies.

    Args:
        log_ratio: Of each token.
        mask: 1 for tokens that were chosen.
        kind: Of each `token`; of the `sequence`, by its mean over tokens (GSPO, arXiv 2507.18071, eq. 7); or by its sum
            (`sequence_sum`, RLOO).
    """
    if kind == "token":
        return log_ratio.exp()
    total = (log_ratio * mask).sum(1, keepdim=True)
    if kind == "sequence":
        total = total / mask.sum(1, keepdim=True).clamp(min=1.0)
    return total.exp()


def policy_losses(
    logprobs: Float[Tensor, "b t"],
    ratio: Float[Tensor, "b n"],
    advantages: Float[Tensor, "b t"],
    *,
    clip: Clip,
    low: float = 0.2,
    high: float = 0.2,
    most: float | None = None,
) -> Float[Tensor, "b n"]:
    """What each token, or each reply, costs.

    Args:
        logprobs: Under the policy that learns.
        ratio: From `importance`.
        advantages: Of each token.
        clip: `ppo`: -min(ratio·A, clip(ratio, 1-low, 1+high)·A) (arXiv 1707.06347, eq. 7); `cispo`: the ratio, at most
            `most`, weighs the log-probability and has no gradient (2506.13585, eq. 4); `none`: -ratio·A.
        low: How far below 1 the ratio counts.
        high: How far above.
        most: Largest ratio that counts: of `cispo` for all tokens, of `ppo` for those with a negative advantage (dual
            clip, 1912.09729, eq. 5).
    """
    wide = advantages if ratio.shape[1] > 1 or advantages.shape[1] == 1 else advantages[:, :1]
    if clip == "cispo":
        return -ratio.clamp(max=most).detach() * advantages * logprobs
    if clip == "none":
        return -ratio * wide
    bounded = ratio if most is None else ratio.clamp(max=most)
    return -torch.min(bounded * wide, ratio.clamp(1 - low, 1 + high) * wide)


def clipped(
    ratio: Float[Tensor, "b n"],
    advantages: Float[Tensor, "b t"],
    *,
    clip: Clip,
    low: float = 0.2,
    high: float = 0.2,
    most: float | None = None,
) -> Float[Tensor, "b n"]:
    """1 where the bounds of `policy_losses`, whose arguments these are, decide the loss, 0 where the ratio does."""
    if clip == "none":
        return torch.zeros_like(ratio)
    wide = advantages if ratio.shape[1] > 1 or advantages.shape[1] == 1 else advantages[:, :1]
    if clip == "cispo":
        return (ratio > (torch.inf if most is None else most)).to(ratio)
    beyond = ratio.clamp(1 - low, 1 + high) * wide < ratio * wide
    if most is not None:
        beyond = beyond | ((wide < 0) & (ratio > most))
    return beyond.to(ratio)


def aggregated(
    losses: Float[Tensor, "b n"], mask: Float[Tensor, "b t"], kind: Aggregation, longest: int
) -> Float[Tensor, ""]:
    """The sum of the losses in units of `units`: divided by how many there are in the step it is the loss.

    Args:
        losses: Of tokens, or of replies.
        mask: 1 for tokens that count.
        kind: `grpo`: the mean over tokens, then over replies; `bnpo`: over the tokens of this pass, then over passes;
            `dapo`: over the tokens of the step (arXiv 2503.14476, eq. 8); `dr_grpo`: the sum over tokens by the longest
            length that replies may have.
        longest: That length, in tokens.
    """
    total = (losses * mask).sum(1)
    if kind == "grpo":
        return (total / mask.sum(1).clamp(min=1.0)).sum()
    if kind == "bnpo":
        return total.sum() / mask.sum().clamp(min=1.0) * len(mask)
    return total.sum() if kind == "dapo" else total.sum() / longest


def value_losses(
    values: Float[Tensor, "b t"], old: Float[Tensor, "b t"], returns: Float[Tensor, "b t"], clip: float | None
) -> Float[Tensor, "b t"]:
    """What each token's value costs: half its squared error, or that of the clipped value if it is larger.

    Args:
        values: Of the head that learns.
        old: When the replies were drawn.
        returns: What they should be.
        clip: How far a value may move at once; None: any way.
    """
    if clip is None:
        return (values - returns).square() / 2
    clipped = values.clamp(old - clip, old + clip)
    return torch.max((values - returns).square(), (clipped - returns).square()) / 2


def whitened(
    values: Float[Tensor, "b t"], mask: Float[Tensor, "b t"], mean: float, variance: float
) -> Float[Tensor, "b t"]:
    """Values with a mean of 0 and a variance of 1, 0 where there is no token.

    Args:
        values: Of each token.
        mask: 1 for tokens that were chosen.
        mean: Of all tokens of the step.
        variance: Theirs, with Bessel's correction.
    """
    return (values - mean) * (variance + 1e-8) ** -0.5 * mask

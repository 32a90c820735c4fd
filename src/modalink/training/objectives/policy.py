"""Policy gradient: makes replies likelier that were better than expected.

Sources: PPO (arXiv 1707.06347), GRPO (2402.03300), DAPO (2503.14476), Dr. GRPO (2503.20783), GSPO (2507.18071), CISPO
(2506.13585).
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor

from modalink.model.batch import Batch
from modalink.training.objectives import GeneratorView, Need, ObjectiveConfig, Output
from modalink.training.objectives._drawn import Drawn, counted_tokens, share
from modalink.training.policy_gradient import (
    Aggregation,
    Clip,
    Kl,
    Ratio,
    aggregated,
    clipped,
    drawn_logprobs,
    importance,
    kl_penalty,
    policy_losses,
)
from modalink.training.randomness import ItemRngs


class PolicyConfig(ObjectiveConfig):
    """The loss of replies that an `online` stage drew; its unit is a reply, or a token where `aggregation` is
    `dapo`."""

    needs: ClassVar[frozenset[Need]] = frozenset({"logits"})
    diagnoses: ClassVar[tuple[str, ...]] = ("clipped", "kl_of_update")

    kind: Literal["policy"] = "policy"
    ratio: Ratio = "token"
    """What is compared with the policy that drew: each `token`, the `sequence` by its mean over tokens (GSPO), or by
    its sum (`sequence_sum`, RLOO)."""
    clip: Clip = "ppo"
    """How ratios are bounded: `ppo`; `cispo`; or `none`, which is REINFORCE where each reply serves one update."""
    low: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """How far below 1 a ratio counts (GSPO: 0.0003)."""
    high: Annotated[float, Field(ge=0)] = 0.28
    """How far above (DAPO 0.28; PPO and GRPO 0.2; GSPO 0.0004)."""
    most: PositiveFloat | None = None
    """Largest ratio that counts: of `cispo` for all tokens, 5 if not given; of `ppo` for those that were worse than
    expected (dual clip: 3)."""
    aggregation: Aggregation = "dapo"
    """Over what is averaged: `grpo`, each reply's tokens, then replies; `bnpo`, the tokens of a pass; `dapo`, the
    tokens of the step; `dr_grpo`, the tokens by the longest length that a reply may have."""
    kl: Annotated[float, Field(ge=0)] = 0.04
    """Weight of the divergence from the state in which the stage began."""
    kl_estimator: Kl = "k2"
    """How it is estimated: `k2` and `k3_ratio` have the gradient of the divergence, `k3` that of the opposite
    direction, `k1` none on average."""

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        if self.clip == "ppo" and self.most is not None and self.most <= 1 + self.high:
            raise ValueError(f"found most {self.most:g} and high {self.high:g}, needed most above 1 + high")
        if self.clip == "none" and self.most is not None:
            raise ValueError("found most with clip: none, which bounds nothing; leave it out")
        return self

    def count(self, batch: Batch) -> int:
        if self.aggregation == "dapo":
            return counted_tokens(batch.sides)
        return sum(side.sampled is not None for side in batch.sides)

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        assert output.logits is not None
        logprobs = drawn_logprobs(output.logits, batch.wanted, batch.sides)
        drawn = Drawn.of(batch, logprobs)
        own, mask = drawn.rows(logprobs), drawn.mask
        old, reference, advantages = (drawn.known(name) for name in ("old", "reference", "advantages"))
        output.diagnostics.update(self._told(own - old, mask, advantages))
        return self.loss(own, mask, old, reference, advantages, drawn.replies[0].drawing.longest)

    @torch.no_grad()
    def _told(
        self, log_ratio: Float[Tensor, "b t"], mask: Float[Tensor, "b t"], advantages: Float[Tensor, "b t"]
    ) -> dict[str, Tensor]:
        """The share of tokens whose ratio is bounded, and how far the policy has gone from the one that drew (k3)."""
        ratio = importance(log_ratio, mask, self.ratio)
        bounded = clipped(ratio, advantages, clip=self.clip, low=self.low, high=self.high, most=self._most)
        moved = kl_penalty(-log_ratio, torch.zeros_like(log_ratio), "k3")
        return {"clipped": share(bounded.expand_as(mask), mask), "kl_of_update": share(moved, mask)}

    @property
    def _most(self) -> float | None:
        return 5.0 if self.clip == "cispo" and self.most is None else self.most

    def loss(
        self,
        logprobs: Float[Tensor, "b t"],
        mask: Float[Tensor, "b t"],
        old: Float[Tensor, "b t"],
        reference: Float[Tensor, "b t"],
        advantages: Float[Tensor, "b t"],
        longest: int,
    ) -> Float[Tensor, ""]:
        """The sum over units from the numbers of each token, replies in rows; see `policy_gradient`."""
        ratio = importance(logprobs - old, mask, self.ratio)
        losses = policy_losses(
            logprobs, ratio, advantages, clip=self.clip, low=self.low, high=self.high, most=self._most
        )
        if self.kl:
            losses = losses + self.kl * kl_penalty(logprobs, reference, self.kl_estimator, ratio)
        return aggregated(losses, mask, self.aggregation, longest)

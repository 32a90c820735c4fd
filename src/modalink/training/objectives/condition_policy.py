"""Policy gradient on conditions: what the output projector makes is the mean of a Gaussian, from which is drawn.

So any generator learns from any reward: none of its steps, densities or gradients are asked for. It is REINFORCE with a
Gaussian policy (Williams 1992) over one continuous action, with the ratio and the group's advantages of GRPO; mirrored
draws and common random numbers lower its variance (as in evolution strategies, arXiv 1703.03864). Where a condition has
a norm, the generator is given what was drawn at that norm.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from modalink.devices import to_device
from modalink.roles import Conditions
from modalink.training.objectives._sampled import Judged, Made, RatioConfig, Requests, fine, usual


class ConditionPolicyConfig(RatioConfig):
    """The loss of media by how likely the conditions are from which they were made; its unit is one medium."""

    kind: Literal["condition_policy"] = "condition_policy"
    sigma: Annotated[float, Field(gt=0, le=10)] = 0.1
    """Spread of the conditions that are drawn, as a share of the root of the mean square of each condition."""
    clip: Annotated[float, Field(gt=0)] = 0.2
    """How far a ratio of mean densities may leave 1 and still count."""
    mirrored: bool = True
    """Whether every second draw is the one before it on the other side of the mean."""
    common_noise: bool = True
    """Whether the generator draws the same for all media of a request, so that conditions alone tell them apart."""

    @torch.no_grad()
    def draw(self, generator: Any, requests: Requests) -> list[Made]:
        means = requests.repeated
        spreads = {name: self._spread(means, name) for name in means.tensors}
        noise = requests.sources("conditions")
        actions = {
            name: fine(values) + _beside(spreads[name], values) * self._noise(requests, values, noise)
            for name, values in means.tensors.items()
        }
        rng = requests.sources("media", same=self.common_noise)
        media = generator.sample(
            _given(generator, means, actions), rng=rng, **usual(steps=self.steps, guidance=self.guidance)
        )
        kept = {f"action.{name}": values for name, values in actions.items()}
        kept |= {f"spread.{name}": values for name, values in spreads.items()}
        return [Made(one, {name: values[i] for name, values in kept.items()}) for i, one in enumerate(media)]

    def losses(self, generator: Any, judged: Judged) -> Float[Tensor, " n"]:
        found = self.clipped(_density(judged), judged.tensors.get("densities"), judged.advantages)
        return found + self.kl * _away(judged, judged.reference.tensors) if self.kl else found

    @torch.no_grad()
    def remembered(self, generator: Any, judged: Judged) -> dict[str, Tensor]:
        """The density of the conditions."""
        return {"densities": _density(judged)}

    def _spread(self, means: Conditions, name: str) -> Float[Tensor, " n"]:
        values, there = fine(means[name]), _there(means, name)
        mean = (values.square() * there).flatten(1).sum(1) / there.expand_as(values).flatten(1).sum(1).clamp(min=1)
        return self.sigma * mean.sqrt().clamp(min=1e-6)

    def _noise(self, requests: Requests, like: Tensor, rng: list[torch.Generator]) -> Tensor:
        each = torch.stack([torch.randn(like.shape[1:], generator=source) for source in rng])
        if self.mirrored:
            groups = each.unflatten(0, (-1, requests.count))
            groups[:, 1::2] = -groups[:, : requests.count // 2 * 2 : 2]
        return to_device(each, like.device)


def _given(generator: Any, means: Conditions, actions: Mapping[str, Tensor]) -> Conditions:
    """What was drawn as the generator reads it: with the norm that it demands, and as before where no token is."""
    found = {}
    for name, values in actions.items():
        shaped = generator.condition_shapes[name].normalised(values).to(means[name].dtype)
        found[name] = torch.where(_there(means, name), shaped, means[name])
    return Conditions(found, means.masks)


def _density(judged: Judged) -> Float[Tensor, " n"]:
    """Logarithm of the density of what was drawn but for its constants, the mean over its numbers."""
    kept = judged.tensors.items()
    return -_away(judged, {name.removeprefix("action."): v for name, v in kept if name.startswith("action.")})


def _away(judged: Judged, others: Mapping[str, Tensor]) -> Float[Tensor, " n"]:
    """Half the mean square of how many spreads others are away from what is made, over all numbers that are there."""
    made, total, count = judged.conditions, torch.zeros_like(judged.advantages), torch.zeros_like(judged.advantages)
    for name, other in others.items():
        values, there = fine(made[name]), _there(made, name)
        off = (other.detach() - values) / _beside(judged.tensors[f"spread.{name}"], values)
        total = total + (off.square() * there).flatten(1).sum(1)
        count = count + there.expand_as(values).flatten(1).sum(1)
    return total / count / 2


def _there(conditions: Conditions, name: str) -> Tensor:
    """Which numbers of a condition are there, in a shape that fits its values."""
    values = conditions[name]
    return conditions.mask(name)[..., None] if values.ndim > 2 else torch.ones_like(values, dtype=torch.bool)


def _beside(numbers: Float[Tensor, " n"], values: Tensor) -> Tensor:
    """One number for each item, in a shape that fits its values."""
    return numbers.view(-1, *[1] * (values.ndim - 1))

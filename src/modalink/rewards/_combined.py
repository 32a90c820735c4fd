"""Several rewards as one: their weighted sum, each kept by its name."""

from collections.abc import Sequence
from dataclasses import dataclass

from modalink.kinds import named
from modalink.rewards import Answered, Judgement, OwnRun, Reward, RewardConfig


@dataclass(frozen=True)
class Rated:
    """A reply's worth.

    Args:
        total: The weighted sum; None where a reward that applies could not judge the reply, or none applies.
        parts: What each reward says, by name; of those that apply.
        why: Why there is no total.
    """

    total: float | None
    parts: dict[str, Judgement]
    why: str = ""

    @property
    def values(self) -> dict[str, float]:
        """The scores by name, unweighted, of those that gave one."""
        return {name: part.value for name, part in self.parts.items() if part.value is not None}


class Combined:
    """Rewards that are weighed against each other.

    A reward that does not apply to a record is left out of its sum. One of weight 0 is measured and decides nothing.

    Args:
        settings: The rewards.
        device: Where networks among them compute.
        own: The run in which they are asked, if one asks them.
    """

    def __init__(self, settings: Sequence[RewardConfig], device: str = "cpu", own: OwnRun | None = None) -> None:
        self.weights = {name: config.weight for name, config in named(settings).items()}
        self.rewards: dict[str, Reward] = {
            name: one.build(device) if own is None else one.build_in(own, device)
            for name, one in named(settings).items()
        }

    def rate(self, answers: Sequence[Answered]) -> list[Rated]:
        """The worth of each reply, in order; errors as for `Reward.judge`."""
        judged = {name: reward.judge(answers) for name, reward in self.rewards.items()}
        return [self._rated({name: own[i] for name, own in judged.items()}) for i in range(len(answers))]

    def _rated(self, judged: dict[str, Judgement]) -> Rated:
        parts = {name: judgement for name, judgement in judged.items() if judgement.applies}
        deciding = {name: judgement.value for name, judgement in parts.items() if self.weights[name]}
        if not deciding:
            silent = [f"{name}: {judgement.why}" for name, judgement in judged.items() if self.weights[name]]
            return Rated(None, parts, f"no reward applies: {'; '.join(silent)}")
        if unjudged := [name for name, value in deciding.items() if value is None]:
            return Rated(None, parts, "; ".join(f"{name}: {parts[name].why}" for name in unjudged))
        total = sum(self.weights[name] * value for name, value in deciding.items() if value is not None)
        return Rated(total, parts)

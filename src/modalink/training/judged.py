"""What stages that have something judged ask of it, be it replies or media: rewards, their spread, what they teach."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

from modalink.training import parallel


@runtime_checkable
class Judged(Protocol):
    """Something that was judged."""

    @property
    def reward(self) -> float | None:
        """What it is worth; None where that is not known."""

    @property
    def parts(self) -> dict[str, float]:
        """Score of each reward, unweighted."""


def rewards_of(group: Iterable[Judged]) -> list[float]:
    """The rewards of those whose worth is known."""
    return [one.reward for one in group if one.reward is not None]


def is_mixed(group: Iterable[Judged]) -> bool:
    """Whether some are better than others."""
    rewards = rewards_of(group)
    return bool(rewards) and max(rewards) - min(rewards) > 1e-8


def measures(groups: Sequence[Sequence[Judged]], names: Sequence[str]) -> dict[str, Any]:
    """What a step's record says of rewards, over all processes, which ask together.

    Args:
        groups: What stands beside each other: the replies to a prompt, the media of a request.
        names: Of all rewards.

    Returns:
        `reward` and `reward_std`, the weighted sum; `rewards`, the mean score of each that gave some; `signal`, the
        share of groups in which some are better than others; `unjudged`, how many have no reward.
    """
    everything = [one for group in groups for one in group]
    known = rewards_of(everything)
    parts = {name: [one.parts[name] for one in everything if name in one.parts] for name in names}
    own = [
        *(float(len(groups)), float(sum(map(is_mixed, groups))), float(len(everything))),
        *(float(len(known)), sum(known, 0.0), sum((reward**2 for reward in known), 0.0)),
        *(number for name in names for number in (float(len(parts[name])), sum(parts[name], 0.0))),
    ]
    count, mixed, all_of_them, judged, total, squares, *rest = parallel.summed(own)
    mean = total / max(1.0, judged)
    return {
        "reward": mean,
        "reward_std": max(0.0, squares / max(1.0, judged) - mean**2) ** 0.5,
        "rewards": {name: rest[2 * i + 1] / rest[2 * i] for i, name in enumerate(names) if rest[2 * i]},
        "signal": mixed / max(1.0, count),
        "unjudged": int(all_of_them - judged),
    }

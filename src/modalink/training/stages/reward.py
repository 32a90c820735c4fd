"""Learning what replies are worth: a reward model, which scores them."""

from typing import Literal

from modalink.training.stages._given import GivenSamplesConfig


class RewardConfig(GivenSamplesConfig):
    """The objectives' losses on judged replies, by the system's own reward head (`llm.reward_head`)."""

    kind: Literal["reward"] = "reward"

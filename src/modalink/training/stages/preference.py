"""Learning which of several replies to the same prompt is better, measured by the state in which the stage began.

Nothing is dropped in it, neither by what learns nor by the reference: the same tokens have the same probability.
"""

from typing import ClassVar, Literal

from modalink.training.stages._given import GivenSamplesConfig


class PreferenceConfig(GivenSamplesConfig):
    """The objectives' losses on replies of which one is better, or each of which is good or bad."""

    kind: Literal["preference"] = "preference"
    dropout: ClassVar[bool] = False
    keeps_start: ClassVar[bool] = True

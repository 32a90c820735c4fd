"""Learning from given samples: pre-training and supervised fine-tuning."""

from typing import Literal

from modalink.training.stages._given import GivenSamplesConfig


class SupervisedConfig(GivenSamplesConfig):
    """The objectives' losses on the samples of the data, as they are."""

    kind: Literal["supervised"] = "supervised"

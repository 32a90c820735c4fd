"""The role of parameter-efficient fine-tuning: how a frozen LLM learns by few parameters of its own."""

from abc import abstractmethod
from typing import ClassVar, Self

from transformers import PreTrainedModel

from modalink.kinds import KindConfig


class PeftConfig(KindConfig):
    """Base of the settings of what is put into a frozen LLM to learn in it.

    The parameters stand under the name `modalink.llms.ADAPTER` in the modules that they change, so that they are told
    from the LLM's own.
    """

    room: ClassVar[str] = "modalink.llms.peft"
    group: ClassVar[str] = "llm.peft"
    """The group under which stages train it."""

    @abstractmethod
    def put_into(self, llm: PreTrainedModel, checkpoint: str) -> None:
        """Give a frozen LLM parameters that learn, in place.

        Args:
            llm: The LLM.
            checkpoint: What errors call it.

        Raises:
            PartError: The LLM cannot carry them.
        """

    def as_built(self, llm: PreTrainedModel) -> Self:
        """The same settings with what was left to choose while building."""
        return self

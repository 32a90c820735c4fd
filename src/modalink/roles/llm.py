"""The role of the LLM: a Hugging Face model, its tokenizer and its architecture."""

from abc import abstractmethod
from typing import ClassVar, Self

from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from modalink.roles.part import PartConfig
from modalink.roles.peft import PeftConfig


class LlmConfig(PartConfig):
    """Base of LLM settings."""

    room: ClassVar[str] = "modalink.llms"

    @abstractmethod
    def build(self, *, weights: bool = True) -> PreTrainedModel:
        """The LLM with its head, frozen except for its adapters."""

    @property
    def adapters(self) -> PeftConfig | None:
        """What is put into the LLM to learn while it stays frozen; None for nothing."""
        return None

    @property
    def quantised(self) -> str | None:
        """To what its weights are rounded, so that they cannot learn themselves; None where they are not."""
        return None

    @property
    def reads_both_ways(self) -> bool:
        """Whether the tokens of a prompt see each other in both directions, as in a prefix LM."""
        return False

    @property
    def has_reward_head(self) -> bool:
        """Whether a head beside it says what replies are worth."""
        return False

    @property
    def has_value_head(self) -> bool:
        """Whether a head beside it says what is expected of a reply from each of its tokens on."""
        return False

    def as_built(self, llm: PreTrainedModel) -> Self:
        """The same settings with what was left to choose while building; what is loaded later is built like it."""
        return self

    @abstractmethod
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The LLM's tokenizer, which must report character offsets."""

    @abstractmethod
    def architecture(self) -> PreTrainedConfig:
        """The LLM's configuration, read without its weights."""

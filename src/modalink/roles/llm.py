"""The role of the LLM: a Hugging Face model, its tokenizer and its architecture."""

from abc import abstractmethod
from typing import ClassVar

from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from modalink.roles.part import PartConfig


class LlmConfig(PartConfig):
    """Base of LLM settings."""

    room: ClassVar[str] = "modalink.llms"

    @abstractmethod
    def build(self, *, weights: bool = True) -> PreTrainedModel:
        """The LLM with its head, frozen except for its adapters."""

    @abstractmethod
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The LLM's tokenizer, which must report character offsets."""

    @abstractmethod
    def architecture(self) -> PreTrainedConfig:
        """The LLM's configuration, read without its weights."""

"""LoRA and DoRA; `llm.lora: {...}` is short for `llm.peft: {kind: lora, ...}`."""

from typing import ClassVar, Literal, Self, cast

from transformers import PreTrainedModel

from modalink.adapters.lora import LoraSpec, add_lora
from modalink.roles import PeftConfig


class LoraPeftConfig(LoraSpec, PeftConfig):
    """Low-rank adapters beside some of the LLM's linear layers."""

    group: ClassVar[str] = "llm.lora"
    kind: Literal["lora"] = "lora"

    def tiny(self, family: str = "llama") -> "LoraPeftConfig":
        return cast(LoraPeftConfig, super().tiny(family))

    def put_into(self, llm: PreTrainedModel, checkpoint: str) -> None:
        add_lora(llm, self, checkpoint, "llm.peft.targets")

    def as_built(self, llm: PreTrainedModel) -> Self:
        """As it stands in the LLM."""
        return self.of(llm)

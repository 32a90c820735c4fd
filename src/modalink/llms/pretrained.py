"""Any Hugging Face causal LM or encoder-decoder, with the join by which media meet it, and optional LoRA."""

from typing import Annotated, Any, Literal, cast

from pydantic import Field
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedConfig, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from modalink import hub
from modalink.errors import PartError
from modalink.llms._lora import LoraSpec, adapted, add_lora
from modalink.llms._wholes import NAMES, REST, language_config
from modalink.recipe.kind_field import Kinds
from modalink.roles import JoinConfig, LlmConfig


class PretrainedLlmConfig(LlmConfig):
    """An LLM from a checkpoint."""

    kind: Literal["pretrained"] = "pretrained"
    join: Annotated[JoinConfig, Kinds(JoinConfig.room, named=True)] = Field(
        default=cast(JoinConfig, "splice"), validate_default=True
    )
    """How media meet the LLM: a kind by its name alone, or with settings."""
    lora: LoraSpec | None = None
    """Adapters, trained in the stages that name `llm.lora`."""

    def tiny(self) -> "PretrainedLlmConfig":
        """The zoo's LLM, with a join and adapters of its size."""
        lora = None if self.lora is None else self.lora.tiny()
        return self.from_zoo("llm", join=self.join.tiny(), lora=lora)

    def architecture(self) -> PreTrainedConfig:
        """The checkpoint's `PreTrainedConfig`; of a whole model, such as LLaVA, that of the language model in it.

        Raises:
            PartError: It is absent, or no language model.
        """
        found = language_config(hub.architecture(self.checkpoint, self.revision))
        if not isinstance(getattr(found.get_text_config(decoder=True), "vocab_size", None), int):
            raise PartError(
                f"llm {self.checkpoint}: found a model of type {found.model_type!r}, needed a language model"
            )
        return found

    def as_built(self, llm: PreTrainedModel) -> "PretrainedLlmConfig":
        """With the names of the layers that got adapters."""
        if self.lora is None or self.lora.targets is not None:
            return self
        return self.replace(lora=self.lora.replace(targets=tuple(sorted(adapted(llm)))))

    def tokenizer(self) -> Tokenizer:
        """The checkpoint's tokenizer.

        Raises:
            PartError: It reports no character offsets, without which labels cannot be placed.
        """
        tokenizer = hub.read(AutoTokenizer, hub.locate(self.checkpoint, self.revision))
        if not tokenizer.is_fast:
            raise PartError(
                f"llm {self.checkpoint}: its tokenizer {type(tokenizer).__name__} reports no character offsets; "
                "save a tokenizer.json beside it (tokenizers library) or choose another checkpoint"
            )
        return tokenizer

    def build(self, *, weights: bool = True) -> PreTrainedModel:
        """The LLM, frozen except for its adapters.

        Raises:
            PartError: The checkpoint cannot be loaded strictly, or a LoRA target is no layer of it.
        """
        architecture = self.architecture()
        auto = AutoModelForSeq2SeqLM if architecture.is_encoder_decoder else AutoModelForCausalLM
        if weights:
            llm = hub.load(auto, self.checkpoint, revision=self.revision, dtype=self.dtype, **self._in_a_whole())
        else:
            with hub.building(f"llm {self.checkpoint}: its architecture cannot be built"):
                llm = auto.from_config(architecture, trust_remote_code=False)
        llm.requires_grad_(False)
        if self.lora is not None:
            add_lora(llm, self.lora, self.checkpoint)
        return llm.eval()

    def _in_a_whole(self) -> dict[str, Any]:
        """How its weights are found in the checkpoint of a whole model."""
        config = self.architecture()
        if config.model_type == hub.architecture(self.checkpoint, self.revision).model_type:
            return {}
        return {"config": config, "key_mapping": NAMES, "allow_unexpected": REST}

"""The Hugging Face configuration of a composed system."""

from typing import Any, ClassVar, no_type_check

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec


@no_type_check  # `strict` takes more keywords than the dataclass that run-time checkers see
@strict
class ModalinkConfig(PreTrainedConfig):
    """What `ModalinkForConditionalGeneration` needs to be built again.

    Args:
        spec: The system's parts, as `SystemSpec` data: the part of a recipe that is not about training.
        text_config: The LLM's own configuration.
        placeholders: Modality -> id of the token that stands for one prompt token of an input medium.
        signals: Modality -> ids of the signal tokens that ask for one output medium, in order.
        references: Part -> where its untouched weights come from: `{"id", "revision", "sha256", "licence"}`.
        auto_map: Always empty: no remote code. (TRL reads this field of every configuration.)
    """

    model_type = "modalink"
    sub_configs_defaults: ClassVar = {"text_config": SubConfigSpec(config_class=AutoConfig, model_type="llama")}

    spec: dict[str, Any] | None = None
    text_config: dict[str, Any] | PreTrainedConfig | None = None
    placeholders: dict[str, int] | None = None
    signals: dict[str, list[int]] | None = None
    references: dict[str, dict[str, Any]] | None = None
    auto_map: dict[str, Any] | None = None
    is_encoder_decoder: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        self.placeholders = self.placeholders or {}
        self.signals = self.signals or {}
        self.references = self.references or {}
        self.auto_map = self.auto_map or {}
        super().__post_init__(**kwargs)

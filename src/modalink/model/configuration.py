"""The Hugging Face configuration of a composed system."""

from dataclasses import field
from pathlib import Path
from typing import Any, ClassVar, no_type_check

from huggingface_hub.dataclasses import strict
from pydantic import ValidationError
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from modalink import hub, json_files
from modalink.errors import CheckpointError, shown
from modalink.model.own_folder import resolved
from modalink.recipe import SystemSpec
from modalink.recipe.errors import problems
from modalink.recipe.upgrade import upgraded
from modalink.yaml_files import dotted


@no_type_check  # `strict` takes more keywords than the dataclass that run-time checkers see
@strict
class ModalinkConfig(PreTrainedConfig):
    """What `ModalinkForConditionalGeneration` needs to be built again.

    Args:
        spec: The system's parts, as `SystemSpec` data: the part of a recipe that is not about training.
        text_config: The LLM's own configuration.
        placeholders: Modality -> id of the token that stands for one prompt token of an input medium.
        signals: Modality -> ids of the signal tokens that ask for one output medium, in order.
        prompt_tokens: Ids of further tokens that were new to the LLM, those of the prompt template.
        encoder_owners: Modality -> the modality whose encoder reads it, where they differ.
        projector_owners: Modality -> the modality whose input projector it goes through, where they differ.
        link_owners: Modality -> the modality whose output projector makes its conditions, where they differ.
        references: Part -> where its untouched weights come from: `{"id", "revision", "sha256", "licence"}`.
        auto_map: Always empty: no remote code. (TRL reads this field of every configuration.)
    """

    model_type = "modalink"
    sub_configs_defaults: ClassVar = {"text_config": SubConfigSpec(config_class=AutoConfig, model_type="llama")}

    spec: dict[str, Any] = field(default_factory=dict)
    text_config: dict[str, Any] | PreTrainedConfig | None = None
    placeholders: dict[str, int] = field(default_factory=dict)
    signals: dict[str, list[int]] = field(default_factory=dict)
    prompt_tokens: list[int] = field(default_factory=list)
    encoder_owners: dict[str, str] = field(default_factory=dict)
    projector_owners: dict[str, str] = field(default_factory=dict)
    link_owners: dict[str, str] = field(default_factory=dict)
    references: dict[str, dict[str, Any]] = field(default_factory=dict)
    auto_map: dict[str, Any] = field(default_factory=dict)
    is_encoder_decoder: bool = False


def read_config(folder: Path) -> ModalinkConfig:
    """The configuration in the folder of a saved system.

    Raises:
        CheckpointError: It is absent, damaged, or of another kind of model.
    """
    path = folder / "config.json"
    needed = "needed a system that a run or `save` wrote"
    settings = json_files.read(path, CheckpointError, dict[str, Any], remedy=needed)
    if settings.get("auto_map"):
        raise CheckpointError(f"{path}: found code of its own (auto_map), which is never run; {needed}")
    if settings.get("model_type") != ModalinkConfig.model_type:
        raise CheckpointError(f"{path}: found a model of type {shown(settings.get('model_type'))}, {needed}")
    with hub.foreign(CheckpointError, str(path)):
        return in_folder(ModalinkConfig.from_pretrained(folder), folder)


def in_folder(config: ModalinkConfig, folder: Path) -> ModalinkConfig:
    """A configuration with the parts that lie in its folder, told by their paths.

    Raises:
        CheckpointError: One lies elsewhere.
    """
    config.spec, config.references = resolved(config.spec, folder), resolved(config.references, folder)
    return config


def spec_of(data: Any) -> SystemSpec:
    """The parts of a saved system from what its configuration, or its processor's, says.

    Raises:
        CheckpointError: They are not what a system has.
    """
    try:
        return SystemSpec.model_validate(upgraded(data))
    except ValidationError as error:
        found = [f"{dotted(('spec', *loc))}: {text}" for loc, text in problems(SystemSpec, error)]
        raise CheckpointError(f"the saved system is damaged, or of another modalink: {'; '.join(found[:3])}") from None

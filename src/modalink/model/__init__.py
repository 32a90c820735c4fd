"""The five parts wired: one Hugging Face model, its processor, and the generators beside it."""

from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
)

from modalink.model.batch import Batch, Targets
from modalink.model.collating import collate
from modalink.model.compose import System, build, compose, compose_without_llm, skeleton
from modalink.model.configuration import ModalinkConfig
from modalink.model.items import Item
from modalink.model.modeling import ModalinkForConditionalGeneration, ModalinkOutput
from modalink.model.prepared import IGNORED, Prepared
from modalink.model.processing import ModalinkProcessor

__all__ = [
    "IGNORED",
    "Batch",
    "Item",
    "ModalinkConfig",
    "ModalinkForConditionalGeneration",
    "ModalinkOutput",
    "ModalinkProcessor",
    "Prepared",
    "System",
    "Targets",
    "build",
    "collate",
    "compose",
    "compose_without_llm",
    "skeleton",
]

# `modalink.auto_classes` has put their names there already.
AutoConfig.register(ModalinkConfig.model_type, ModalinkConfig, exist_ok=True)
AutoProcessor.register(ModalinkConfig, ModalinkProcessor, exist_ok=True)
for auto in (AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMultimodalLM):
    auto.register(ModalinkConfig, ModalinkForConditionalGeneration)

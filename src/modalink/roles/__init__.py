"""The roles that the parts of a system play. A part knows its own role; the composite knows roles, never names.

Dimension letters used in all shape annotations:

    b batch    t LLM tokens    i items (media)    u units (tiles, frames, ...)    p encoder tokens    n prompt tokens
    k signal tokens of an item    l tokens of a condition    c h w channels, height, width    v vocabulary
    d_enc d_llm d_gen widths of encoder, LLM and generator conditions
"""

from modalink.roles.conditions import Conditions, ConditionShape
from modalink.roles.encoder import BlockEncoder, Encoder, EncoderConfig
from modalink.roles.generator import (
    Denoises,
    Generator,
    GeneratorConfig,
    PredictsCodes,
    ReadsText,
    ShouldStop,
    check_stop,
)
from modalink.roles.input_projector import Compared, Embeds, InputProjector, InputProjectorConfig, LearnsCaptions
from modalink.roles.join import Join, JoinConfig, Meeting, Placed, Rows
from modalink.roles.llm import LlmConfig
from modalink.roles.media_options import Guidance, MediaOptions, Seconds, Size
from modalink.roles.modality import MediumHandle, ModalityRecord, Preview
from modalink.roles.output_projector import (
    Centred,
    CentredJointly,
    DrawsConditions,
    JointOutputProjector,
    OutputProjector,
    OutputProjectorConfig,
)
from modalink.roles.part import FromCheckpoint, OfPieces, PartConfig
from modalink.roles.peft import DenoiserLora, EncoderLora, LoraSettings, PeftConfig
from modalink.roles.preprocessor import Preprocessor, ReadsPixels, SquarePreprocessor, Window
from modalink.roles.retriever import EmbedsMedia, Found, Query, Retriever, RetrieverConfig
from modalink.roles.walks import Noised, Step, Trajectory, Walk, Walks, drawn

__all__ = [
    "BlockEncoder",
    "Centred",
    "CentredJointly",
    "Compared",
    "ConditionShape",
    "Conditions",
    "DenoiserLora",
    "Denoises",
    "DrawsConditions",
    "Embeds",
    "EmbedsMedia",
    "Encoder",
    "EncoderConfig",
    "EncoderLora",
    "Found",
    "FromCheckpoint",
    "Generator",
    "GeneratorConfig",
    "Guidance",
    "InputProjector",
    "InputProjectorConfig",
    "Join",
    "JoinConfig",
    "JointOutputProjector",
    "LearnsCaptions",
    "LlmConfig",
    "LoraSettings",
    "MediaOptions",
    "MediumHandle",
    "Meeting",
    "ModalityRecord",
    "Noised",
    "OfPieces",
    "OutputProjector",
    "OutputProjectorConfig",
    "PartConfig",
    "PeftConfig",
    "Placed",
    "PredictsCodes",
    "Preprocessor",
    "Preview",
    "Query",
    "ReadsPixels",
    "ReadsText",
    "Retriever",
    "RetrieverConfig",
    "Rows",
    "Seconds",
    "ShouldStop",
    "Size",
    "SquarePreprocessor",
    "Step",
    "Trajectory",
    "Walk",
    "Walks",
    "Window",
    "check_stop",
    "drawn",
]

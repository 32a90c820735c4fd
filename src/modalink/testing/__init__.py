"""What proves a part: tiny random checkpoints in Hugging Face formats, fakes of each role, kits that check a role."""

from modalink.testing.encoder_kit import check_encoder
from modalink.testing.fakes import (
    TinyEncoder,
    TinyEncoderConfig,
    TinyGenerator,
    TinyGeneratorConfig,
    TinyInputProjector,
    TinyInputProjectorConfig,
    TinyOutputProjector,
    TinyOutputProjectorConfig,
)
from modalink.testing.generator_kit import check_generator
from modalink.testing.join_kit import check_join
from modalink.testing.llm_kit import check_llm
from modalink.testing.modality_kit import check_modality
from modalink.testing.projector_kit import check_input_projector, check_output_projector
from modalink.testing.retriever_kit import check_retriever
from modalink.testing.reward_kit import check_reward

__all__ = [
    "TinyEncoder",
    "TinyEncoderConfig",
    "TinyGenerator",
    "TinyGeneratorConfig",
    "TinyInputProjector",
    "TinyInputProjectorConfig",
    "TinyOutputProjector",
    "TinyOutputProjectorConfig",
    "check_encoder",
    "check_generator",
    "check_input_projector",
    "check_join",
    "check_llm",
    "check_modality",
    "check_output_projector",
    "check_retriever",
    "check_reward",
]

"""Tiny random checkpoints in the formats that released ones have; the same seed writes the same weights.

Every factory writes a folder that `from_pretrained` reads, and returns it. One file for each kind of part.
"""

from modalink.testing.checkpoints._drawn import by_name
from modalink.testing.checkpoints.blip2 import tiny_blip2
from modalink.testing.checkpoints.diffusion import tiny_stable_diffusion
from modalink.testing.checkpoints.imagebind import tiny_imagebind
from modalink.testing.checkpoints.llms import tiny_bert, tiny_llama, tiny_llm, tiny_opt, tiny_qwen2, tiny_t5
from modalink.testing.checkpoints.points import point_bert_name, tiny_point_bert
from modalink.testing.checkpoints.sound import tiny_ast, tiny_beats, tiny_clap, tiny_hubert, tiny_whisper
from modalink.testing.checkpoints.video import tiny_video
from modalink.testing.checkpoints.vision import (
    tiny_clip_vision,
    tiny_eva_g,
    tiny_native,
    tiny_siglip_vision,
    tiny_timm,
    tiny_vision,
)

__all__ = [
    "by_name",
    "point_bert_name",
    "tiny_ast",
    "tiny_beats",
    "tiny_bert",
    "tiny_blip2",
    "tiny_clap",
    "tiny_clip_vision",
    "tiny_eva_g",
    "tiny_hubert",
    "tiny_imagebind",
    "tiny_llama",
    "tiny_llm",
    "tiny_native",
    "tiny_opt",
    "tiny_point_bert",
    "tiny_qwen2",
    "tiny_siglip_vision",
    "tiny_stable_diffusion",
    "tiny_t5",
    "tiny_timm",
    "tiny_video",
    "tiny_vision",
    "tiny_whisper",
]

"""BLIP-2: a Q-Former between a frozen tower and a frozen LLM, OPT or Flan-T5 (arXiv 2301.12597)."""

from modalink.interop._blip import blip_family
from modalink.recipe import Paper

FAMILY = blip_family(
    "Blip2ForConditionalGeneration",
    Paper(
        title="BLIP-2: Bootstrapping Language-Image Pre-training with Frozen Image Encoders and Large Language Models",
        year=2023,
        arxiv="2301.12597",
    ),
    instruction=False,
)

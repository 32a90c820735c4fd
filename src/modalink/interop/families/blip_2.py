"""BLIP-2: a Q-Former between a frozen tower and a frozen LLM, OPT or Flan-T5 (arXiv 2301.12597)."""

from modalink.interop._blip import blip_names, blip_parts
from modalink.interop.family import Family
from modalink.recipe import Paper

FAMILY = Family(
    architecture="Blip2ForConditionalGeneration",
    paper=Paper(
        title="BLIP-2: Bootstrapping Language-Image Pre-training with Frozen Image Encoders and Large Language Models",
        year=2023,
        arxiv="2301.12597",
    ),
    parts=lambda source: blip_parts(source, instruction=False),
    names=lambda source: blip_names(instruction=False),
    template="question-answer",
)

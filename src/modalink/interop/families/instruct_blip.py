"""InstructBLIP: BLIP-2 whose Q-Former reads the instruction as well (arXiv 2305.06500)."""

from modalink.interop._blip import blip_names, blip_parts
from modalink.interop.family import Family
from modalink.recipe import Paper

FAMILY = Family(
    architecture="InstructBlipForConditionalGeneration",
    paper=Paper(
        title="InstructBLIP: Towards General-purpose Vision-Language Models with Instruction Tuning",
        year=2023,
        arxiv="2305.06500",
    ),
    parts=lambda source: blip_parts(source, instruction=True),
    names=lambda source: blip_names(instruction=True),
    template="question-answer",
)

"""InstructBLIP: BLIP-2 whose Q-Former reads the instruction as well (arXiv 2305.06500)."""

from modalink.interop._blip import INSTRUCT_BLIP, blip_family

FAMILY = blip_family("InstructBlipForConditionalGeneration", INSTRUCT_BLIP, instruction=True)

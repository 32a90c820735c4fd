"""InstructBLIP for videos: each of four frames through tower and Q-Former by itself (arXiv 2305.06500, section 3.5)."""

from modalink.interop._blip import INSTRUCT_BLIP, blip_family

FAMILY = blip_family("InstructBlipVideoForConditionalGeneration", INSTRUCT_BLIP, instruction=True, frames=4)

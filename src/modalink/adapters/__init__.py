"""Parameters that learn beside the frozen layers of an LLM or an encoder: where they stand, and their merging."""

from modalink.adapters.layers import ADAPTER, adapted, merge_adapters, unload_adapters
from modalink.adapters.lora import LoraSpec, add_lora

__all__ = ["ADAPTER", "LoraSpec", "adapted", "add_lora", "merge_adapters", "unload_adapters"]

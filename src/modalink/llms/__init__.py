"""LLM backbones: what thinks between the input side and the output side."""

from modalink.llms._attention import ATTENTION, attention, packs, segments_mask
from modalink.llms._new_tokens import NewTokenEmbedding, NewTokenHead, add_new_tokens

__all__ = ["ATTENTION", "NewTokenEmbedding", "NewTokenHead", "add_new_tokens", "attention", "packs", "segments_mask"]

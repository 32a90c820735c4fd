"""LLM backbones: what thinks between the input side and the output side."""

from modalink.llms._attention import ATTENTION, attention, packs
from modalink.llms._new_tokens import NewTokenEmbedding, NewTokenHead, add_new_tokens
from modalink.llms._segments import Segments

__all__ = ["ATTENTION", "NewTokenEmbedding", "NewTokenHead", "Segments", "add_new_tokens", "attention", "packs"]

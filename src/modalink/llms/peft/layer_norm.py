"""Tuning of norms: the LLM's own norms learn as copies beside the frozen ones, by peft.

Source: arXiv 2312.11420 (which tunes the norms of LLMs for multimodal input).
"""

from typing import Literal, Self

from peft import LNTuningConfig
from torch import nn
from transformers import PreTrainedModel

from modalink.adapters.layers import adapted, by_last_name, inject, targeted
from modalink.roles import PeftConfig


class LayerNormConfig(PeftConfig):
    """The LLM's norms, learned."""

    kind: Literal["layer_norm"] = "layer_norm"
    targets: tuple[str, ...] | None = None
    """Last names of the norms that learn; by default all."""

    def tiny(self) -> "LayerNormConfig":
        """All norms: those of other families may not be in the zoo's LLM."""
        return LayerNormConfig()

    def put_into(self, llm: PreTrainedModel, checkpoint: str) -> None:
        named = by_last_name(name for name, module in llm.named_modules() if _is_norm(module))
        key = "llm.peft.targets"
        names = targeted(named, self.targets, named.keys, checkpoint=f"llm {checkpoint}", key=key, what="norm")
        inject(llm, LNTuningConfig(target_modules=sorted(names)))

    def as_built(self, llm: PreTrainedModel) -> Self:
        """With the names of the norms that learn."""
        return self if self.targets is not None else self.replace(targets=tuple(sorted(adapted(llm))))


def _is_norm(module: nn.Module) -> bool:
    """Whether a module is a norm with weights; families have classes of their own, all of which say so."""
    return "norm" in type(module).__name__.lower() and next(module.parameters(recurse=False), None) is not None

"""Low-rank adapters beside an LLM's layers: which layers, where nobody says so, and that they learn."""

from collections.abc import Collection
from typing import Any, Self

from peft import LoraConfig
from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from modalink.adapters.layers import adapted, by_last_name, inject, linear_layers, targeted
from modalink.adapters.lora_weights import load_lora
from modalink.roles import LoraSettings

_QUERY_AND_VALUE = ("q_proj", "v_proj")
_OF_THE_ZOO = {
    "llama": ({"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}, _QUERY_AND_VALUE),
    "t5": ({"q", "k", "v", "o", "wi_0", "wi_1", "wo"}, ("q", "v")),
}
"""Of the zoo's LLMs, by family: the linear layers, and those that are taken where a recipe names none of these."""


class LoraSpec(LoraSettings):
    """Low-rank adapters beside some of the LLM's linear layers (arXiv 2106.09685)."""

    checkpoint: str | None = None
    """A folder or hub id of adapters that were trained elsewhere, of peft or in a system's file, such as PandaGPT's;
    rank, alpha and targets must be its."""
    revision: str | None = None
    """Commit or tag of a hub checkpoint."""
    targets: tuple[str, ...] | None = None
    """Last names of the linear layers that get an adapter; by default those that peft names for the family, else those
    that make queries and values, else all but the head."""

    def tiny(self, family: str = "llama") -> "LoraSpec":
        """Of a rank that fits the zoo's LLM of a family, and of the same strength."""
        rank = min(self.rank, 8)
        known, default = _OF_THE_ZOO[family]
        targets = None
        if self.targets is not None:
            targets = tuple(t for t in self.targets if t in known) or default
        alpha = self.alpha * rank / self.rank
        return self.replace(rank=rank, alpha=alpha, targets=targets, checkpoint=None, revision=None)

    def of(self, llm: PreTrainedModel) -> Self:
        """The same as it stands in an LLM that was built: its layers are named, and its weights are its own."""
        targets = tuple(sorted(adapted(llm))) if self.targets is None else self.targets
        return self.replace(targets=targets, checkpoint=None, revision=None)


def add_lora(llm: PreTrainedModel, spec: LoraSpec, checkpoint: str, key: str = "llm.lora.targets") -> None:
    """Put adapters beside an LLM's layers, in place.

    Raises:
        PartError: A target is no linear layer of it, it has none, or adapters of a checkpoint do not fit.
    """
    named = by_last_name(linear_layers(llm))
    names = targeted(
        named, spec.targets, lambda: _default(llm, named), checkpoint=f"llm {checkpoint}", key=key, what="linear layer"
    )
    turned = any(isinstance(module, Conv1D) for name, module in llm.named_modules() if name in names)
    inject(llm, library_config(spec, names, fan_in_fan_out=turned))
    if spec.checkpoint is not None and llm.device.type != "meta":
        load_lora(llm, spec.checkpoint, spec.revision, rank=spec.rank, alpha=spec.alpha)


def library_config(spec: LoraSettings, names: Collection[str], **more: Any) -> LoraConfig:
    """The peft library's settings of adapters beside the layers of these full names."""
    return LoraConfig(
        r=spec.rank,
        lora_alpha=spec.alpha,
        lora_dropout=spec.dropout,
        use_dora=spec.dora,
        target_modules=sorted(names),
        bias="none",
        **more,
    )


def _default(llm: PreTrainedModel, named: dict[str, set[str]]) -> Collection[str]:
    known = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(llm.config.model_type)
    for choice in (known, _QUERY_AND_VALUE):
        if choice is not None and not isinstance(choice, str) and set(choice) <= named.keys():
            return choice
    return named.keys()

"""IA3: factors on keys, values and the inner states of feed-forward layers, of peft.

Source: arXiv 2205.05638, section 3.3.
"""

from collections.abc import Collection
from typing import Literal, Self

from peft import IA3Config as LibraryConfig
from peft.utils import (
    TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING,
    TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING,
)
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from modalink.adapters.layers import adapted, by_last_name, inject, linear_layers, targeted
from modalink.roles import PeftConfig

_KEYS_AND_VALUES = ("k_proj", "v_proj", "k", "v", "key", "value", "qkv_proj", "query_key_value", "c_attn", "Wqkv")
_ENDS = ("down_proj", "fc2", "wo", "w2", "dense_4h_to_h", "fc_out")
"""Last layers of feed-forward networks, whose input is scaled."""


class Ia3Config(PeftConfig):
    """Learned factors, which start at one."""

    kind: Literal["ia3"] = "ia3"
    targets: tuple[str, ...] | None = None
    """Last names of the linear layers that get factors; by default those that peft names for the family, else those of
    keys, values and the ends of feed-forward networks that go by a known name."""
    feedforward: tuple[str, ...] | None = None
    """Which of the targets are ends of feed-forward networks: their input is scaled, the others' output."""

    def tiny(self) -> "Ia3Config":
        """On the layers that are taken by default: others may not be in the zoo's LLM."""
        return Ia3Config()

    def put_into(self, llm: PreTrainedModel, checkpoint: str) -> None:
        named = by_last_name(linear_layers(llm))
        names = targeted(
            named,
            self.targets,
            lambda: _default(llm, named),
            checkpoint=f"llm {checkpoint}",
            key="llm.peft.targets",
            what="linear layer",
        )
        ends = self.feedforward if self.feedforward is not None else _ends(llm)
        turned = any(isinstance(module, Conv1D) for name, module in llm.named_modules() if name in names)
        inject(
            llm,
            LibraryConfig(
                target_modules=sorted(names),
                feedforward_modules=sorted(name for name in names if name.rpartition(".")[2] in ends),
                fan_in_fan_out=turned,
            ),
        )

    def as_built(self, llm: PreTrainedModel) -> Self:
        """With the names of the layers that got factors."""
        return self if self.targets is not None else self.replace(targets=tuple(sorted(adapted(llm))))


def _default(llm: PreTrainedModel, named: dict[str, set[str]]) -> Collection[str]:
    known = TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING.get(llm.config.model_type)
    if known is not None and set(known) <= named.keys():
        return known
    return [name for name in (*_KEYS_AND_VALUES, *_ENDS) if name in named]


def _ends(llm: PreTrainedModel) -> Collection[str]:
    known = TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING.get(llm.config.model_type, [])
    return [*known, *_ENDS]

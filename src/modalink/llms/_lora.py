"""Adapters beside an LLM's layers: which layers, where nobody says so, and that they learn."""

import warnings
from collections.abc import Collection

from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from modalink.errors import PartError
from modalink.kinds import Settings, Width

ADAPTER = "modalink"
_QUERY_AND_VALUE = ("q_proj", "v_proj")
_LLAMA_LINEARS = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


class LoraSpec(Settings):
    """Low-rank adapters beside some of the LLM's linear layers (arXiv 2106.09685)."""

    rank: Width
    """Width of the adapters."""
    alpha: int
    """The adapters' output is scaled by alpha / rank."""
    dropout: float = 0.0
    """Share of the adapters' input that is dropped in training."""
    targets: tuple[str, ...] | None = None
    """Last names of the linear layers that get an adapter; by default those that peft names for the family, else those
    that make queries and values, else all but the head."""

    def tiny(self) -> "LoraSpec":
        """Of a rank that fits the zoo's LLM, a Llama, and of the same strength."""
        rank = min(self.rank, 8)
        targets = None
        if self.targets is not None:
            targets = tuple(t for t in self.targets if t in _LLAMA_LINEARS) or _QUERY_AND_VALUE
        return self.replace(rank=rank, alpha=self.alpha * rank / self.rank, targets=targets)


def add_lora(llm: PreTrainedModel, spec: LoraSpec, checkpoint: str) -> None:
    """Put adapters beside an LLM's layers, in place.

    Raises:
        PartError: A target is no linear layer of it, or it has none.
    """
    names = _targeted(llm, spec.targets, checkpoint)
    turned = any(isinstance(module, Conv1D) for name, module in llm.named_modules() if name in names)
    config = LoraConfig(
        r=spec.rank,
        lora_alpha=spec.alpha,
        lora_dropout=spec.dropout,
        target_modules=sorted(names),
        fan_in_fan_out=turned,
        bias="none",
    )
    with warnings.catch_warnings():
        # Of an LLM with both kinds of layers peft turns each as it must; experts that transformers fused get none.
        warnings.filterwarnings("ignore", message=".*(fan_in_fan_out|_pattern keys did not match).*")
        llm.add_adapter(config, adapter_name=ADAPTER)


def adapted(llm: PreTrainedModel) -> dict[str, int]:
    """Last names of the layers that have adapters, and how many have each."""
    counts: dict[str, int] = {}
    for name, module in llm.named_modules():
        if isinstance(module, LoraLayer):
            last = name.rpartition(".")[2]
            counts[last] = counts.get(last, 0) + 1
    return counts


def _targeted(llm: PreTrainedModel, targets: Collection[str] | None, checkpoint: str) -> set[str]:
    """Full names of the layers that get adapters."""
    layers = _linear_layers(llm)
    named: dict[str, set[str]] = {}
    for name in layers:
        named.setdefault(name.rpartition(".")[2], set()).add(name)
    if targets is None:
        targets = _default(llm, named)
    if unknown := set(targets) - named.keys():
        raise PartError(
            f"llm {checkpoint}: no linear layer is called {', '.join(sorted(unknown))} (llm.lora.targets); "
            f"its layers are {', '.join(sorted(named))}"
        )
    if not targets:
        raise PartError(f"llm {checkpoint}: found no linear layer that could get an adapter; leave out llm.lora")
    return {name for target in targets for name in named[target]}


def _default(llm: PreTrainedModel, named: dict[str, set[str]]) -> Collection[str]:
    known = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(llm.config.model_type)
    for choice in (known, _QUERY_AND_VALUE):
        if choice is not None and not isinstance(choice, str) and set(choice) <= named.keys():
            return choice
    return named.keys()


def _linear_layers(llm: PreTrainedModel) -> list[str]:
    """Names of the layers that can have an adapter: all linear ones but the head.

    Of a state-space mixer only the layer that it reads its input with: its kernels take the weights of the others past
    their adapters.
    """
    head = llm.get_output_embeddings()
    mixers = tuple(f"{name}." for name, module in llm.named_modules() if hasattr(module, "A_log"))
    return [
        name
        for name, module in llm.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and module is not head
        and (not name.startswith(mixers) or name.rpartition(".")[2].startswith("in_proj"))
    ]

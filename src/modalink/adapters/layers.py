"""What all kinds of adapters share: the name that they stand under, which layers they change, and their merging."""

import warnings
from collections.abc import Callable, Collection, Iterable, Mapping

from peft import PeftConfig as LibraryConfig
from peft import inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from modalink.errors import PartError

ADAPTER = "modalink"
"""The name of adapters; a part of the names of all their parameters."""


def inject(module: nn.Module, config: LibraryConfig, name: str = ADAPTER) -> None:
    """Put adapters of the peft library into an LLM or an encoder, in place.

    Args:
        module: A model of transformers, or any other module.
        config: The library's settings.
        name: What these adapters are called.
    """
    with warnings.catch_warnings():
        # Of an LLM with both kinds of layers peft turns each as it must; experts that transformers fused get none.
        # A norm is no layer whose sizes peft knows, and needs none.
        warnings.filterwarnings(
            "ignore",
            message=".*(fan_in_fan_out|_pattern keys did not match|Unsupported layer type .*Norm|Already found a).*",
        )
        if isinstance(module, PreTrainedModel):
            module.add_adapter(config, adapter_name=name)
        else:
            inject_adapter_in_model(config, module, adapter_name=name)


def attach(module: nn.Module, child: str, learned: nn.Module) -> None:
    """Put what learns beside a layer of an LLM, under the name of adapters.

    Raises:
        PartError: The layer has a part of that name.
    """
    if hasattr(module, child):
        raise PartError(f"{type(module).__name__} has a part {child!r} of its own, where adapters would stand")
    module.add_module(child, nn.ModuleDict({ADAPTER: learned}))


def attached(module: nn.Module) -> str | None:
    """The name of what `attach` put beside a layer; None where it put nothing."""
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleDict) and ADAPTER in child and not isinstance(module, BaseTunerLayer):
            return name
    return None


def adapted(llm: nn.Module) -> dict[str, int]:
    """Last names of the layers that have adapters, and how many have each."""
    counts: dict[str, int] = {}
    for name, module in llm.named_modules():
        if isinstance(module, BaseTunerLayer) or attached(module) is not None:
            last = name.rpartition(".")[2]
            counts[last] = counts.get(last, 0) + 1
    return counts


def merge_adapters(llm: nn.Module) -> None:
    """Write what adapters learned into the own weights of an LLM or an encoder, in place, so that it has none.

    LoRA, DoRA, IA3 and tuned norms can be merged, because they only change weights.

    Raises:
        PartError: It has adapters that compute something of their own, several beside a layer, or quantised weights.
    """
    for name, module in llm.named_modules():
        if isinstance(module, LoraLayer) and module.lora_A.keys() - {ADAPTER}:
            raise PartError(
                f"{len(module.lora_A)} adapters stand beside {name}, one for each window, and its weight is one; they "
                "cannot be merged, so keep them beside it"
            )
        if (child := attached(module)) is not None:
            raise PartError(
                f"the adapters at {name}.{child} compute something that no weight of {type(llm).__name__} could; they "
                "cannot be merged, so keep them beside it"
            )
    if any(not parameter.is_floating_point() for parameter in llm.parameters()):
        raise PartError(
            f"the weights of {type(llm).__name__} are rounded, and what adapters learned is finer than that; they "
            "cannot be merged: load it without quantize, or keep them beside it"
        )
    for module in llm.modules():
        if isinstance(module, BaseTunerLayer):
            module.merge(safe_merge=True, adapter_names=[ADAPTER])
    unload_adapters(llm)


def unload_adapters(llm: nn.Module) -> None:
    """Take adapters of the peft library out of a module, in place; its weights are those that it has without them."""
    for name, module in list(llm.named_modules()):
        if isinstance(module, BaseTunerLayer):
            outer, _, last = name.rpartition(".")
            setattr(llm.get_submodule(outer), last, module.get_base_layer())
    if isinstance(llm, PreTrainedModel):
        llm._hf_peft_config_loaded = False
    vars(llm).pop("peft_config", None)


def linear_layers(llm: PreTrainedModel) -> list[str]:
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


def by_last_name(names: Iterable[str]) -> dict[str, set[str]]:
    """Full names of modules by their last parts."""
    named: dict[str, set[str]] = {}
    for name in names:
        named.setdefault(name.rpartition(".")[2], set()).add(name)
    return named


def targeted(
    named: Mapping[str, set[str]],
    targets: Collection[str] | None,
    default: Callable[[], Collection[str]],
    *,
    checkpoint: str,
    key: str,
    what: str,
) -> set[str]:
    """Full names of the layers that get adapters.

    Args:
        named: The layers that could, by their last names.
        targets: Last names that were asked for.
        default: Those that are taken where none were.
        checkpoint: What errors call the part, for example `llm tiny-llama`.
        key: The recipe's key of the targets.
        what: What errors call a layer, for example `linear layer`.

    Raises:
        PartError: A target is none of them, or there are none.
    """
    targets = default() if targets is None else targets
    if unknown := set(targets) - named.keys():
        raise PartError(
            f"{checkpoint}: no {what} is called {', '.join(sorted(unknown))} ({key}); "
            f"its layers are {', '.join(sorted(named))}"
        )
    if not targets:
        raise PartError(f"{checkpoint}: found no {what} that could get an adapter; leave out {key.rpartition('.')[0]}")
    return {name for target in targets for name in named[target]}

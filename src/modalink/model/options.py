"""The options of transformers' `from_pretrained` that a composed system carries out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Self

import torch
from accelerate import dispatch_model, infer_auto_device_map
from accelerate.utils import get_balanced_memory
from torch import nn
from transformers import PreTrainedConfig

from modalink import hub
from modalink.errors import PartError

_BY_MEMORY = ("auto", "balanced", "balanced_low_0", "sequential")
_PLACING = ("max_memory", "offload_folder", "offload_buffers")
_HINTS = {
    "low_cpu_mem_usage", "use_safetensors", "weights_only", "_from_auto", "_from_pipeline",
    "_commit_hash",
}  # fmt: skip
"""Options that ask for what is so anyway, or for what changes no result."""


@dataclass(frozen=True)
class LoadingOptions:
    """What `from_pretrained` was asked for.

    Args:
        revision: A version of a hub id.
        subfolder: Folder of the system below the folder or hub id that is named.
        fetching: How the hub is read, for the system and for the parts that it refers to.
        dtype: The precision of the whole model; None: as saved.
        attention: Name of the attention that the LLM computes with; None: modalink's own.
        device_map: Where the parts compute, as for `PreTrainedModel.from_pretrained`.
        placing: What accelerate may use for it: `max_memory`, `offload_folder`, `offload_buffers`.
        adapter: A folder of PEFT with adapters to put on the system; the Auto classes find it.
        with_info: Whether the caller wants the lists of keys that did not fit, all of them empty, beside the model.
    """

    revision: str | None = None
    subfolder: str = ""
    fetching: Mapping[str, Any] = field(default_factory=dict)
    dtype: torch.dtype | None = None
    attention: str | None = None
    device_map: Any = None
    placing: Mapping[str, Any] = field(default_factory=dict)
    adapter: str | PathLike[str] | None = None
    with_info: bool = False

    @classmethod
    def of(cls, given: Mapping[str, Any], config: PreTrainedConfig | None = None) -> Self:
        """Understand options by name; one that is None or False asks for nothing.

        Args:
            given: The options.
            config: The configuration that was given beside them: the Auto classes put the attention there.

        Raises:
            PartError: One asks for something that a composed system does not have.
        """
        asked = {n: value for n, value in given.items() if value is not None and value is not False and n not in _HINTS}
        revision = asked.pop("revision", None)
        options = cls(
            revision=None if revision == "main" else revision,  # which a folder has, too
            subfolder=asked.pop("subfolder", ""),
            fetching={name: asked.pop(name) for name in hub.FETCHING & asked.keys()},
            dtype=_dtype(asked.pop("dtype", None) or asked.pop("torch_dtype", None)),
            attention=asked.pop("attn_implementation", None) or _attention_of(config),
            device_map=asked.pop("device_map", None),
            placing={name: asked.pop(name) for name in _PLACING if name in asked},
            adapter=(asked.pop("adapter_kwargs", None) or {}).get("_adapter_model_path"),
            with_info=bool(asked.pop("output_loading_info", False)),
        )
        for name, value in asked.items():
            reason = _REASONS.get(name, "no option of this name is known")
            raise PartError(f"loading a composed system with {name}={_short(value)}: {reason}; leave it out")
        return options

    def place(self, model: nn.Module) -> None:
        """Put a loaded model where the device map says.

        Raises:
            PartError: The map names no device, or leaves out a part.
        """
        if self.device_map is None:
            return
        try:
            dispatch_model(model, self._map(model), offload_dir=self.placing.get("offload_folder"))
        except (ValueError, RuntimeError, TypeError, AssertionError) as error:
            raise PartError(f"device_map={_short(self.device_map)}: {hub.first_line(error)}") from error

    def _map(self, model: nn.Module) -> dict[str, Any]:
        if isinstance(self.device_map, Mapping):
            return dict(self.device_map)
        if self.device_map not in _BY_MEMORY:
            return {"": self.device_map}
        memory, whole = self.placing.get("max_memory"), sorted(getattr(model, "_no_split_modules", None) or ())
        if self.device_map != "sequential":
            low = self.device_map == "balanced_low_0"
            memory = get_balanced_memory(model, memory, no_split_module_classes=whole, low_zero=low)
        placed: dict[str, Any] = infer_auto_device_map(model, memory, no_split_module_classes=whole)
        return placed


_REASONS = {
    "trust_remote_code": "it never runs code that a checkpoint brings",
    "quantization_config": "its LLM and encoders are loaded in the precision that their checkpoints have",
    "state_dict": "its weights come from its folder and from the parts that it refers to",
    "variant": "its weights are saved in one form",
}


def _attention_of(config: PreTrainedConfig | None) -> str | None:
    """The attention that a configuration asks for; SDPA is what transformers writes there by itself."""
    found = getattr(config, "_attn_implementation", None)
    return None if found == "sdpa" else found


def _dtype(given: Any) -> torch.dtype | None:
    """A precision from a torch.dtype or its name; None where it is that of the files."""
    if given is None or given == "auto":
        return None
    found = getattr(torch, given.removeprefix("torch."), None) if isinstance(given, str) else given
    if not (isinstance(found, torch.dtype) and found.is_floating_point):
        raise PartError(f"dtype: found {given!r}, needed `auto` or a precision such as float32 or torch.bfloat16")
    return found


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:60]}..."

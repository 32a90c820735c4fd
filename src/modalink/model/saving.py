"""What a saved system holds: the weights that training touched; all else stays a reference to where it came from."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from modalink import hub
from modalink.errors import CheckpointError, PartError
from modalink.model.groups import Groups, group_of
from modalink.roles import PartConfig


@dataclass(frozen=True)
class Fingerprint:
    """How often each parameter of the referenced parts had been written when it was loaded.

    PyTorch counts in-place writes to a tensor, an optimizer's updates among them; a part whose counters stand still and
    that nothing may train is still the one that was loaded.
    """

    versions: dict[str, int]
    parts: frozenset[str]

    @classmethod
    def of(cls, groups: Groups, known: Collection[str] | None = None) -> "Fingerprint":
        """The present counters; `known` names the parts that come from a reference (None: the LLM and all encoders)."""
        parts = frozenset(n for n in groups if (_is_referenced(n) if known is None else n in known))
        return cls({name: p._version for part in parts for name, p in groups[part]}, parts)

    def untouched(self, groups: Groups) -> set[str]:
        """Parts that can be saved by reference."""

        def same(part: str) -> bool:
            return all(not p.requires_grad and p._version == self.versions[name] for name, p in groups[part])

        return {part for part in self.parts if same(part)}


def _is_referenced(group: str) -> bool:
    return group == "llm" or group.endswith(".encoder")


def own_state(state: Mapping[str, Tensor], untouched: Collection[str]) -> dict[str, Tensor]:
    """The weights of a state dict that no reference covers."""
    return {name: tensor for name, tensor in state.items() if group_of(name) not in untouched}


def load_weights(model: PreTrainedModel, folder: Path) -> None:
    """Put a folder's safetensors into a model whose referenced parts are already loaded, strictly.

    Raises:
        CheckpointError: A file is missing, or names do not match: each is listed.
    """
    state: dict[str, Tensor] = {}
    for file in _weight_files(folder):
        state |= load_file(file)
    expected = model.state_dict()
    covered = {name for part in model.config.references for name, _ in model.trainable_groups().get(part, [])}
    missing = sorted(expected.keys() - state.keys() - covered - _buffers(model))
    if unexpected := sorted(state.keys() - expected.keys()):
        raise CheckpointError(f"{folder}: the weights {_some(unexpected)} belong to no part of the configured system")
    if missing:
        raise CheckpointError(
            f"{folder}: the configured system needs the weights {_some(missing)}, which are not in it"
        )
    for name, tensor in state.items():
        if tensor.shape != expected[name].shape:
            raise CheckpointError(
                f"{folder}: {name} has the shape {tuple(tensor.shape)}, needed {tuple(expected[name].shape)}"
            )
    model.load_state_dict(state, strict=False, assign=True)
    model.tie_weights()


def _weight_files(folder: Path) -> list[Path]:
    index = folder / SAFE_WEIGHTS_INDEX_NAME
    if index.exists():
        return [folder / name for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
    if not (folder / SAFE_WEIGHTS_NAME).exists():
        raise CheckpointError(f"{folder}: found no {SAFE_WEIGHTS_NAME} and no {SAFE_WEIGHTS_INDEX_NAME}")
    return [folder / SAFE_WEIGHTS_NAME]


def _buffers(model: nn.Module) -> set[str]:
    """Names that need not be saved: buffers and tied copies, which the architecture makes anew."""
    tied = set(getattr(model, "all_tied_weights_keys", {}) or {})
    return {name for name, _ in model.named_buffers()} | tied


def _some(names: list[str], limit: int = 5) -> str:
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + rest


def verify(part: str, reference: Mapping[str, Any], config: PartConfig) -> None:
    """Check that a referenced part is the one that was saved.

    Raises:
        PartError: Its weights have changed.
    """
    found = hub.identity_of(config, reference["revision"])
    if found.sha256 != reference["sha256"]:
        raise PartError(
            f"{part}: {reference['id']} now has weights of hash {found.sha256[:12]}, needed "
            f"{reference['sha256'][:12]}, with which this system was trained; restore that version or train again"
        )


def refuse_options(options: Mapping[str, Any], allowed: Collection[str]) -> None:
    """Raise for an option of transformers that modalink does not carry out, so that none is silently ignored."""
    # The Auto classes always hand on `adapter_kwargs`; adapters are parts of a composed system and load with it.
    ours = {*allowed, "adapter_kwargs"}
    for name, value in options.items():
        if name not in ours and value is not None and not (name == "trust_remote_code" and value is False):
            raise PartError(
                f"loading a composed system does not know the option {name}={value!r}; known: {sorted(allowed)}"
            )

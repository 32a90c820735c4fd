"""What a saved system holds: the weights that training touched; all else stays a reference to where it came from."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from modalink import files, hub, json_files, tensor_files
from modalink.errors import CheckpointError, PartError
from modalink.llms import is_quantised
from modalink.model.groups import Groups, inner_name
from modalink.roles import FromCheckpoint


class _Trace(NamedTuple):
    """What tells that a parameter was written."""

    version: int
    """PyTorch's counter of in-place writes, an optimizer's updates among them."""
    dtype: torch.dtype
    bits: int | None
    """The sum of all its bits, which also shows writes through `.data`, as of adapters that are merged; None where the
    parameter has no bits on this device."""


_RESTORE = "restore it, or take the model from an earlier checkpoint"


@dataclass(frozen=True)
class Fingerprint:
    """The parameters of the referenced parts, as they were loaded.

    A part that nothing has written, and that nothing may train, is still the one that was loaded; in a wider precision,
    too.
    """

    traces: dict[str, _Trace]
    parts: frozenset[str]

    @classmethod
    def of(cls, groups: Groups, known: Collection[str]) -> "Fingerprint":
        """The present state; `known` names the parts, and sections of parts, that come from a reference."""
        parts = frozenset(name for name in groups if name in known)
        traces = {name: _Trace(p._version, p.dtype, _bits(p, p.dtype)) for part in parts for name, p in groups[part]}
        return cls(traces, parts)

    def untouched(self, groups: Groups) -> set[str]:
        """Parts that can be saved by reference."""

        def same(name: str, parameter: nn.Parameter) -> bool:
            trace = self.traces[name]
            if is_quantised(parameter):
                return True  # nothing writes it; a library may lay it out anew
            return (
                not parameter.requires_grad
                and parameter._version == trace.version
                and _bits(parameter, trace.dtype) == trace.bits
            )

        return {part for part in self.parts if all(same(name, p) for name, p in groups[part])}


@torch.no_grad()
def _bits(tensor: Tensor, dtype: torch.dtype) -> int | None:
    """The sum of a tensor's bits in a precision, 64 at a time."""
    if tensor.is_meta or is_quantised(tensor):
        return None
    content = tensor.detach().to(dtype).contiguous().flatten().view(torch.uint8)
    whole = content.numel() // 8 * 8
    words, rest = content[:whole].clone() if content.storage_offset() % 8 else content[:whole], content[whole:]
    return int(words.view(torch.int64).sum()) + int(rest.sum())


def own_state(state: Mapping[str, Tensor], untouched: Collection[str]) -> dict[str, Tensor]:
    """The weights of a state dict that no reference covers; one that has several names under its first."""
    own: dict[str, Tensor] = {}
    seen: set[tuple[Any, ...]] = set()
    for name, tensor in state.items():
        if inner_name(name).within(untouched):
            continue
        place = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if tensor.is_meta or not tensor.numel() or place not in seen:
            own[name] = tensor
            seen.add(place)
    return own


def load_weights(model: PreTrainedModel, folder: Path) -> None:
    """Put a folder's safetensors into a model whose referenced parts are already loaded, strictly.

    Raises:
        CheckpointError: A file is missing, or names do not match: each is listed.
    """
    state: dict[str, Tensor] = {}
    weights = _weight_files(folder)
    for file in weights:
        state |= tensor_files.read(file, CheckpointError, remedy=_RESTORE)
    expected = model.state_dict()
    covered = {name for name in expected if inner_name(name).within(model.config.references)}
    names = _names_of_one(model)
    there = state.keys() | covered | {name for name, _ in model.named_buffers()}
    missing = sorted(name for name in expected.keys() - there if there.isdisjoint(names.get(name, ())))
    if unexpected := sorted(state.keys() - expected.keys()):
        raise CheckpointError(f"{folder}: the weights {_some(unexpected)} belong to no part of the configured system")
    if missing and not weights:
        raise CheckpointError(f"{folder}: found no {SAFE_WEIGHTS_NAME} and no {SAFE_WEIGHTS_INDEX_NAME}")
    if missing:
        raise CheckpointError(
            f"{folder}: the configured system needs the weights {_some(missing)}, which are not in it"
        )
    tensor_files.refuse_odd(state, expected, folder, CheckpointError)
    model.load_state_dict(state, strict=False, assign=True)
    for name in [name for name in expected if name in names and name not in state]:
        # Of T5's tables the head may be one of its own; the others follow the first that was saved.
        first = next((other for other in expected if other in names[name] and other in state), None)
        if first is not None:
            module, _, last = name.rpartition(".")
            model.get_submodule(module).register_parameter(last, model.get_parameter(first))


def _weight_files(folder: Path) -> list[Path]:
    index = folder / SAFE_WEIGHTS_INDEX_NAME
    if index.exists():
        named: tensor_files.Index = json_files.read(index, CheckpointError, tensor_files.Index, remedy=_RESTORE)
        return [files.inside(folder, name, CheckpointError) for name in sorted(set(named.weight_map.values()))]
    # A system whose every part is a reference has no weights of its own.
    there = (folder / SAFE_WEIGHTS_NAME).exists()
    return [files.inside(folder, SAFE_WEIGHTS_NAME, CheckpointError)] if there else []


def _names_of_one(model: nn.Module) -> dict[str, set[str]]:
    """All names of each parameter that has several."""
    names: dict[int, set[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), set()).add(name)
    return {name: same for same in names.values() if len(same) > 1 for name in same}


def _some(names: list[str], limit: int = 5) -> str:
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + rest


def _damaged(part: str, detail: str) -> CheckpointError:
    return CheckpointError(f"the reference of {part} in config.json: {detail}; {_RESTORE}")


def verify(part: str, reference: Mapping[str, Any], config: FromCheckpoint) -> None:
    """Check that a referenced part is the one that was saved.

    Raises:
        PartError: Its weights have changed.
    """
    kept: hub.Identity = json_files.shaped(reference, partial(_damaged, part), hub.Identity)
    found = hub.identity_of(config, kept.revision)
    if found.sha256 != kept.sha256:
        raise PartError(
            f"{part}: {kept.id} now has weights of hash {found.sha256[:12]}, needed "
            f"{kept.sha256[:12]}, with which this system was trained; restore that version or train again"
        )

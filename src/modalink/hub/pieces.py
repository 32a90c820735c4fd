"""Some tensors of a whole model's checkpoint, for a part that is a piece of that model."""

import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from modalink.errors import PartError
from modalink.hub.causes import foreign
from modalink.hub.files import piece_files

_WITHIN = ("model", "module", "state_dict", "model_state_dict")
"""Keys under which trainers keep the tensors, beside what else they keep."""


def tensors(reference: str, *, names: Mapping[str, str], revision: str | None = None) -> dict[str, Tensor]:
    """The tensors of a checkpoint whose names begin with one of these patterns, under other names; no others are read.

    Args:
        reference: A local folder, or a hub id.
        names: Pattern -> replacement; the first pattern that fits the beginning of a name decides.
        revision: Commit or tag of a hub id.

    Raises:
        PartError: The checkpoint is absent or damaged, or two of its tensors get one name.
    """
    found: dict[str, Tensor] = {}
    for file in piece_files(reference, names, revision):
        with foreign(PartError, f"{file}: its weights cannot be read"):
            for name, tensor in _chosen(file, names):
                if name in found:
                    raise PartError(f"{reference}: the checkpoint holds several tensors that are {name} here")
                found[name] = tensor
    return found


def within(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tensors of a trainer's file, which may keep them under a key; all of it where it does not."""
    return next((content[key] for key in _WITHIN if key in content), content)


def _chosen(file: Path, names: Mapping[str, str]) -> Iterator[tuple[str, Tensor]]:
    if file.suffix != ".safetensors":
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
        for name, tensor in within(content).items():
            if isinstance(tensor, Tensor) and (new := _renamed(name, names)) is not None:
                yield new, tensor
        return
    with safe_open(file, "pt") as held:
        for name in held.keys():  # noqa: SIM118 (it is no mapping and has no iterator)
            if (new := _renamed(name, names)) is not None:
                yield new, held.get_tensor(name)


def _renamed(name: str, names: Mapping[str, str]) -> str | None:
    found = next(((pattern, new) for pattern, new in names.items() if re.match(pattern, name)), None)
    return None if found is None else re.sub(*found, name, count=1)

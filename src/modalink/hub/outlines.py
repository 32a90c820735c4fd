"""Which tensors a checkpoint holds, and of which shapes: read from the heads of its files, not from their weights."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from modalink import json_files
from modalink.errors import PartError
from modalink.hub.causes import foreign
from modalink.hub.files import locate, weight_files
from modalink.hub.pieces import within

_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


def outline(reference: str, revision: str | None = None) -> dict[str, Tensor]:
    """The tensors of a checkpoint on the meta device, by their names in its files.

    Args:
        reference: A local folder, or a hub id.
        revision: Commit or tag of a hub id.

    Raises:
        PartError: The checkpoint is absent or damaged, lacks a file that its index names, or names a tensor twice.
    """
    folder = locate(reference, revision)
    _demand_shards(folder, reference)
    found: dict[str, Tensor] = {}
    for file in weight_files(folder):
        with foreign(PartError, f"{file}: its weights cannot be read"):
            held = _heads(file)
        if twice := sorted(found.keys() & held.keys()):
            raise PartError(f"{reference}: several files hold {twice[0]}, {file.name} among them; it is damaged")
        found |= held
    if not found:
        raise PartError(f"{reference}: found no weights in {folder}, needed *.safetensors")
    return found


def _demand_shards(folder: Path, reference: str) -> None:
    for index in sorted(folder.glob("*.index.json")):
        said = json_files.read(index, partial(_of, reference), dict[str, Any])
        named = sorted(set(json_files.shaped(said.get("weight_map"), partial(_of, reference), dict[str, str]).values()))
        there = [name for name in named if (folder / name).is_file()]
        if there and (missing := [name for name in named if name not in there]):
            raise PartError(
                f"{reference}: found {len(there)} of the {len(named)} weight files that {index.name} names; "
                f"{', '.join(missing[:3])} is missing: fetch it into {folder}"
            )


def _of(reference: str, detail: str) -> PartError:
    return PartError(f"{reference}: {detail}")


def _heads(file: Path) -> dict[str, Tensor]:
    if file.suffix != ".safetensors":
        content = within(torch.load(file, map_location="meta", weights_only=True))
        return {name: tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}
    with safe_open(file, "pt") as tensors:
        heads = {name: tensors.get_slice(name) for name in tensors.keys()}  # noqa: SIM118 (it has no iterator)
        return {
            name: torch.empty(head.get_shape(), dtype=_DTYPES.get(head.get_dtype(), torch.uint8), device="meta")
            for name, head in heads.items()
        }

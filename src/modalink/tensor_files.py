"""Tensors as files and as bytes.

Files that may be read by whoever may read their neighbours: safetensors writes them for their owner alone.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from modalink.files import Damaged

_MASK = os.umask(0o077)
os.umask(_MASK)


@dataclass
class Index:
    """What says in which file each tensor of a checkpoint in several files is."""

    weight_map: dict[str, str]


def save(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write tensors of any shape and dtype as safetensors, with the permissions of any new file.

    Args:
        tensors: Name -> tensor.
        path: The file, in a folder that exists.
        metadata: Words for the file's header.

    Raises:
        OSError: The file cannot be written.
        SafetensorError: The same, found by the library.
    """
    save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, path, metadata)
    _share(path)


def join(parts: Mapping[str, tuple[Path, str, tuple[int, ...]]], path: Path) -> None:
    """Write a safetensors file of tensors that lie on the disk as bare bytes, without a copy of them in memory.

    Args:
        parts: Name -> file of the values in C order, dtype as safetensors calls it (`F32`, `I64`), and shape.
        path: The file that is written.

    Raises:
        OSError: It cannot be written.
    """
    header, end = dict[str, Any](), 0
    for name, (file, dtype, shape) in parts.items():
        start, end = end, end + file.stat().st_size
        header[name] = {"dtype": dtype, "shape": [*shape], "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as joined:
        joined.write(len(text).to_bytes(8, "little") + text)
        for file, _, _ in parts.values():
            with file.open("rb") as values:
                shutil.copyfileobj(values, joined, 2**20)


def read(path: Path, damaged: Damaged, *, remedy: str = "") -> dict[str, Tensor]:
    """The tensors of a safetensors file by name.

    Args:
        path: The file.
        damaged: Makes the error.
        remedy: What its reader can do, the end of the message.

    Raises:
        Exception: What `damaged` makes: the file is absent, cut off or no safetensors.
    """
    try:
        return load_file(path)
    except Exception as error:  # the library raises an error of its own for each thing that may be wrong in a header
        cause = "there is no such file" if isinstance(error, FileNotFoundError) else " ".join(str(error).split())
        raise damaged(f"{path}: cannot be read as safetensors: {cause}" + (f"; {remedy}" if remedy else "")) from None


def shape(path: Path, name: str, damaged: Damaged, *, remedy: str = "") -> tuple[int, ...]:
    """The shape of a matrix in a safetensors file, read without its values.

    Args:
        path: The file.
        name: The matrix.
        damaged: Makes the error.
        remedy: What its reader can do, the end of the message.

    Raises:
        Exception: What `damaged` makes: the file is absent or no safetensors, or holds no such matrix.
    """
    try:
        with safe_open(path, "pt") as file:
            found = tuple(file.get_slice(name).get_shape())
    except Exception as error:  # as `read`
        cause = "there is no such file" if isinstance(error, FileNotFoundError) else " ".join(str(error).split())
        raise damaged(f"{path}: cannot be read as safetensors: {cause}" + (f"; {remedy}" if remedy else "")) from None
    if len(found) != 2:
        raise damaged(f"{path}: found {name} of the shape {found}, needed a matrix" + (f"; {remedy}" if remedy else ""))
    return found


def refuse_odd(tensors: Mapping[str, Tensor], like: Mapping[str, Tensor], where: Path, damaged: Damaged) -> None:
    """Refuse weights that no training of ours writes: of another shape or kind than the model's, or not finite.

    Args:
        tensors: What a file holds.
        like: The model's own, by the same names.
        where: What errors call the file.
        damaged: Makes the error.

    Raises:
        Exception: What `damaged` makes.
    """
    for name, tensor in tensors.items():
        if tensor.shape != like[name].shape:
            raise damaged(f"{where}: {name} has the shape {tuple(tensor.shape)}, needed {tuple(like[name].shape)}")
        if tensor.is_floating_point() != like[name].is_floating_point() or tensor.is_complex():
            kind = "floating point" if like[name].is_floating_point() else str(like[name].dtype)
            raise damaged(f"{where}: {name} is {str(tensor.dtype).removeprefix('torch.')}, needed {kind}")
        if tensor.is_floating_point() and not bool(
            torch.isfinite(tensor if tensor.itemsize > 1 else tensor.float()).all()
        ):
            raise damaged(f"{where}: {name} holds values that are no finite numbers; take an earlier checkpoint")


def fill(like: Mapping[str, Tensor], tensors: Mapping[str, Tensor], where: Path, damaged: Damaged) -> None:
    """Copy weights into a model's, by their names; arguments and errors as for `refuse_odd`, which looks first."""
    refuse_odd(tensors, like, where, damaged)
    with torch.no_grad():
        for name, tensor in tensors.items():
            like[name].copy_(tensor)


def share(folder: Path) -> None:
    """Give the safetensors files that a library wrote into a folder the permissions of any new file."""
    for path in folder.glob("*.safetensors"):
        _share(path)


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and values of tensors, whatever their order and device."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        values = tensors[name].detach().cpu().contiguous()
        found.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        found.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _share(path: Path) -> None:
    path.chmod(0o666 & ~_MASK)


def weights_digest(module: nn.Module) -> str:
    """SHA-256 over names, dtypes, shapes and values of all parameters and buffers, as they are now.

    Of the module in memory rather than of its checkpoint: training may have changed it.
    """
    return digest({**dict(module.named_parameters()), **dict(module.named_buffers())})

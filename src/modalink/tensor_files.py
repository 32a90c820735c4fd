"""Tensors as files and as bytes.

Files that may be read by whoever may read their neighbours: safetensors writes them for their owner alone.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

_MASK = os.umask(0o077)
os.umask(_MASK)


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

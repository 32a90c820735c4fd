"""Loads weights strictly: every parameter comes from the file, and every tensor of the file is used or named."""

import copy
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoConfig

from modalink.errors import PartError
from modalink.hub.bars import without_bars
from modalink.hub.building import building
from modalink.hub.causes import foreign
from modalink.hub.files import locate, weight_files


def load(
    auto_class: Any,
    reference: str,
    *,
    revision: str | None = None,
    dtype: str = "auto",
    subfolder: str = "",
    allow_missing: Iterable[str] = (),
    allow_unexpected: Iterable[str] = (),
    **options: Any,
) -> Any:
    """A model of transformers or diffusers with a checkpoint's weights, in evaluation mode.

    Args:
        auto_class: Any class with `from_pretrained`.
        reference: `zoo:NAME`, a local folder, or a hub id.
        revision: Commit or tag of a hub id.
        dtype: `auto` (as saved), `float32`, `bfloat16` or `float16`.
        subfolder: Part of the checkpoint to load, for example `unet`.
        allow_missing: Patterns of parameters that the file need not hold (a head that nothing uses).
        allow_unexpected: Patterns of tensors in the file that the model need not have.
        **options: Passed to `from_pretrained`.

    Raises:
        PartError: The checkpoint is absent, damaged, or of another architecture.
    """
    folder = locate(reference, revision)
    where = f"{reference}/{subfolder}" if subfolder else reference
    if (folder / subfolder / "adapter_config.json").is_file():
        # transformers would load the model that the file names, from wherever that is.
        raise PartError(f"{where}: found adapters of PEFT, needed a whole model; merge them into their model first")
    with without_bars(), foreign(PartError, f"{where}: {auto_class.__name__} cannot be read from {folder / subfolder}"):
        if not reference.startswith("zoo:"):
            _refuse_larger(auto_class, folder / subfolder, options.get("config"))
        # As a torch.dtype: diffusers reads names, "auto" among them, as float32.
        options["dtype"] = getattr(torch, _saved_dtype(folder / subfolder) if dtype == "auto" else dtype)
        options |= _no_code(auto_class)
        model, info = auto_class.from_pretrained(
            folder, subfolder=subfolder, output_loading_info=True, local_files_only=True, **options
        )
    refuse(where, auto_class, "lacks parameters that the model needs", info["missing_keys"], allow_missing)
    refuse(where, auto_class, "holds tensors that the model has not", info["unexpected_keys"], allow_unexpected)
    other = [key if isinstance(key, str) else key[0] for key in info.get("mismatched_keys", ())]
    refuse(where, auto_class, "holds tensors of another shape than its configuration says", other, ())
    return model.eval()


def read(auto_class: Any, folder: Path, **options: Any) -> Any:
    """What an Auto class of transformers reads from a folder that `locate` gave: a configuration, a tokenizer, ...

    Args:
        auto_class: Any class with `from_pretrained`.
        folder: The folder.
        **options: Passed to `from_pretrained`.

    Raises:
        PartError: The folder's files are absent, damaged, or need code that the checkpoint brings.
    """
    with foreign(PartError, f"{auto_class.__name__} cannot be read from {folder}"):
        return auto_class.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **options)


def refuse(where: str, kind: Any, complaint: str, names: Iterable[str], allowed: Iterable[str]) -> None:
    """Refuse a checkpoint for names of tensors that no allowed pattern finds.

    Args:
        where: What errors call the checkpoint.
        kind: The class that it was loaded into.
        complaint: What is wrong with the names.
        names: Names that are missing, or too many.
        allowed: Patterns of those that may be.

    Raises:
        PartError: Some are left.
    """
    patterns = [re.compile(pattern) for pattern in allowed]
    left = sorted(name for name in names if not any(pattern.search(name) for pattern in patterns))
    if left:
        shown = ", ".join(left[:3]) + (f" and {len(left) - 3} more" if len(left) > 3 else "")
        raise PartError(f"{where}: the checkpoint {complaint}: {shown}; it is damaged or not one of {kind.__name__}")


def _no_code(auto_class: Any) -> dict[str, bool]:
    """Never ask at the terminal whether code may run; only the Auto classes do, and know the option."""
    return {"trust_remote_code": False} if hasattr(auto_class, "_model_mapping") else {}


def _refuse_larger(auto_class: Any, folder: Path, config: Any) -> None:
    """Refuse an architecture that is far larger than the weights beside it, before memory is taken for it."""
    held = sum(file.stat().st_size for file in weight_files(folder))
    if config is None:
        # diffusers' models have a configuration of their own kind.
        config = auto_class.load_config(folder) if hasattr(auto_class, "load_config") else read(AutoConfig, folder)
    data = config if isinstance(config, dict) else config.to_dict()
    with building(str(folder)):
        needed = _size(auto_class, json.dumps(data, sort_keys=True, default=str), config)
    if needed > 8 * held + 2**26:
        raise PartError(f"{folder}: its configuration asks for {needed:,} values, its weight files hold {held:,} bytes")


_sizes: dict[tuple[Any, str], int] = {}


def _size(auto_class: Any, key: str, config: Any) -> int:
    """How many values an architecture has, counted on the meta device."""
    if (auto_class, key) not in _sizes:
        with torch.device("meta"):
            build = getattr(auto_class, "from_config", auto_class)
            model = build(copy.deepcopy(config), **_no_code(auto_class))
        _sizes[auto_class, key] = sum(t.numel() for t in (*model.parameters(), *model.buffers()))
    return _sizes[auto_class, key]


def _saved_dtype(folder: Path) -> str:
    """The precision of the first floating-point tensor in the weight files; float32 where the format does not say."""
    names = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
    for file in weight_files(folder):
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 (it is no mapping and has no iterator)
                    if (dtype := names.get(tensors.get_slice(name).get_dtype())) is not None:
                        return dtype
    return "float32"

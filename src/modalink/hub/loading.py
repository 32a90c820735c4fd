"""Loads weights strictly: every parameter comes from the file, and every tensor of the file is used or named."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from modalink.errors import PartError
from modalink.hub.bars import without_bars
from modalink.hub.causes import first_line
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
    try:
        # As a torch.dtype: diffusers reads names, "auto" among them, as float32.
        options["dtype"] = getattr(torch, _saved_dtype(folder / subfolder) if dtype == "auto" else dtype)
        with without_bars():
            model, info = auto_class.from_pretrained(
                folder, subfolder=subfolder, output_loading_info=True, local_files_only=True, **options
            )
    except (OSError, RuntimeError, ValueError, TypeError, SafetensorError) as error:
        raise PartError(
            f"{where}: {auto_class.__name__} cannot be read from {folder / subfolder}: {first_line(error)}"
        ) from error
    _refuse(where, auto_class, "lacks parameters that the model needs", info["missing_keys"], allow_missing)
    _refuse(where, auto_class, "holds tensors that the model has not", info["unexpected_keys"], allow_unexpected)
    return model.eval()


def _refuse(where: str, auto_class: Any, complaint: str, names: Iterable[str], allowed: Iterable[str]) -> None:
    """Raise if names are left that no allowed pattern finds."""
    patterns = [re.compile(pattern) for pattern in allowed]
    left = sorted(name for name in names if not any(pattern.search(name) for pattern in patterns))
    if left:
        shown = ", ".join(left[:3]) + (f" and {len(left) - 3} more" if len(left) > 3 else "")
        raise PartError(
            f"{where}: the checkpoint {complaint}: {shown}; it is damaged or not one of {auto_class.__name__}"
        )


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

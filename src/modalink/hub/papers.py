"""What lies in a checkpoint's folder besides weights, looked at before another library opens it.

transformers and diffusers open the files that these files name, build as many layers as they say, and ask at the
terminal whether code that they bring may run; so what leads out of the folder or beyond all models is refused here.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from modalink import files, json_files
from modalink.errors import PartError, shown

PAPERS = ("*.json", "*.txt", "*.model", "*.jinja", "README.md", "LICENSE*")
"""Files that describe a checkpoint."""
WEIGHTS = ("*.safetensors", "*.bin")
"""Weight files, the better format first; `.bin` files are only read with torch's `weights_only`."""

_SETTINGS = (
    "config.json", "generation_config.json", "*_config.json", "special_tokens_map.json", "added_tokens.json",
    "model_index.json", "chat_template.json", "*.index.json",
)  # fmt: skip
_MOST_LAYERS = 1000
"""The deepest language models have some 130 layers, the deepest towers some 200."""
_MOST_LABELS = 2**17
"""Each gets a name of its own."""
_LARGEST = 2**24
"""Anything else that a configuration counts: heads, channels, tokens of a vocabulary."""
_LONGEST = 2**31
"""Positions, and settings that count nothing."""
_LAYERS = re.compile(r"(layers|layer|blocks|depth|depths|stages)(_|$)(?!.*(size|dim|width|id|index))|^n_layer")
_SIZES = re.compile(r"^(num|n)_|_(num|size|dim|width|channels|heads|experts)$")


def check(folder: Path, where: str) -> None:
    """Look through a folder and the folders in it.

    Args:
        folder: A checkpoint's folder.
        where: What errors call it.

    Raises:
        PartError: A file is a link that leads out, names a file outside, is damaged, or counts beyond all models.
    """
    damaged = partial(_damaged, where)
    weights = (path for pattern in WEIGHTS for path in folder.rglob(pattern))
    for path in (*_entries(folder, PAPERS), *weights):
        if path.is_symlink():
            files.inside(folder, str(path.relative_to(folder)), damaged)
    for path in _entries(folder, _SETTINGS):
        if path.is_file():
            _check_settings(path, json_files.read(path, damaged, dict[str, Any]), damaged)


def _damaged(where: str, detail: str) -> PartError:
    return PartError(f"{where}: {detail}")


def _entries(folder: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    """Files of these names in a folder and in the folders in it, each once."""
    yield from sorted({path for pattern in patterns for path in (*folder.glob(pattern), *folder.glob(f"*/{pattern}"))})


def _check_settings(path: Path, settings: dict[str, Any], damaged: files.Damaged) -> None:
    if path.name.endswith(".index.json"):
        names = sorted(set(json_files.shaped(settings.get("weight_map"), damaged, dict[str, str]).values()))
    elif path.name == "tokenizer_config.json":
        named = [value for key, value in settings.items() if key.endswith(("_file", "_files"))]
        names = [name for value in named for name in (value if isinstance(value, list) else [value]) if name]
    else:
        names = []
    for name in names:
        files.inside(path.parent, name, damaged)
    if path.name == "config.json":
        _check_counts(path, settings, "", damaged)


def _check_counts(path: Path, value: Any, key: str, damaged: files.Damaged) -> None:
    """Refuse a number of layers, or of anything else, that no model has: nothing is built of it."""
    if isinstance(value, dict):
        for inner, child in value.items():
            _check_counts(path, child, inner, damaged)
    elif isinstance(value, list):
        for child in value:
            _check_counts(path, child, key, damaged)
    elif isinstance(value, int) and not isinstance(value, bool):
        bounds = (("num_labels", _MOST_LABELS), (_LAYERS, _MOST_LAYERS), (_SIZES, _LARGEST))
        most = next((most for pattern, most in bounds if re.search(pattern, key)), _LONGEST)
        if abs(value) > most:
            raise damaged(f"{path}: found {key} {shown(value)}, needed {most:,} at most")

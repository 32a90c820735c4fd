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
WEIGHTS = ("*.safetensors", "*.bin", "*.pth", "*.pt")
"""Weight files, the better format first; all but the first are only read with torch's `weights_only`."""

_SETTINGS = (
    "config.json", "generation_config.json", "*_config.json", "special_tokens_map.json", "added_tokens.json",
    "model_index.json", "chat_template.json", "*.index.json",
)  # fmt: skip
LARGEST_SIDE = 2**14
"""The longest side of images that a model reads or makes, in pixels."""
_MOST_LAYERS = 1000
"""The deepest language models have some 130 layers, the deepest towers some 200; of all stages together."""
_LAYERS = r"^(?!.*(size|dim|width|_ids?$|index|per_layer)).*(layers?|blocks|depths?|stages|repeats)(_|$)|^n_layer"
_STAGES = r"^(depths?|layers|num_\w*(layers|blocks|repeats))$"
"""Lists of the layers of each stage."""
_BOUNDS = (
    ("num_labels", 2**17),  # each gets a name of its own
    (_LAYERS, _MOST_LAYERS),
    (r"experts$", 2**16),
    (r"heads$", 2**12),
    (r"(^|_)(image|img)_size$", LARGEST_SIDE),
    (r"timesteps$", 2**20),
    (r"(hidden|intermediate|embed|embedding|ffn)_(size|dim)s?$|^(d_model|d_ff|n_embd)$", 2**18),
    (r"^(num|n)_|_(num|size|sizes|dim|dims|width|channels)$", 2**24),
    ("", 2**31),  # positions, and settings that count nothing
)
"""The most that a number of such a name may be, the first pattern that is found; far beyond what is published."""
_AT_LEAST = (
    (r"^((hidden|patch|image)_sizes?|embed_dims?|d_model|n_embd|num_attention_heads|num_channels)$", 1),
    (r"^(num_(hidden_)?layers|n_layers?|depths?)$", 0),
)


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
    if path.name in ("config.json", "scheduler_config.json"):
        _check_counts(path, settings, "", damaged)


def _check_counts(path: Path, value: Any, key: str, damaged: files.Damaged) -> None:
    """Refuse numbers that no model has, before anything is built of them, and weights that are not read."""
    if isinstance(value, dict):
        for inner, child in value.items():
            if inner == "quantization_config" and child is not None:
                raise damaged(f"{path}: {_quantised(child)}")
            _check_counts(path, child, inner, damaged)
    elif isinstance(value, list):
        for child in value:
            _check_counts(path, child, key, damaged)
        total = sum(child for child in value if type(child) is int)
        if re.search(_STAGES, key) and total > _MOST_LAYERS:
            raise damaged(f"{path}: found {key} of {total:,} together, needed {_MOST_LAYERS:,} at most")
    elif type(value) is int:
        most = next(most for pattern, most in _BOUNDS if re.search(pattern, key))
        if abs(value) > most:
            raise damaged(f"{path}: found {key} {shown(value)}, needed {most:,} at most")
        least = next((least for pattern, least in _AT_LEAST if re.search(pattern, key)), value)
        if value < least:
            raise damaged(f"{path}: found {key} {shown(value)}, needed {least} or more")


def _quantised(settings: Any) -> str:
    """Why a checkpoint of quantised weights is not read."""
    method = settings.get("quant_method") if isinstance(settings, dict) else None
    return (
        f"found quantised weights (quantization_config, {shown(method) if method else 'of no known method'}), needed "
        "weights in float32, bfloat16 or float16, which can be trained through; choose the checkpoint that they were "
        "made of, or dequantise it (`model.dequantize()` of transformers, then `save_pretrained`)"
    )

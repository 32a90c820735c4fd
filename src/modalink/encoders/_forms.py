"""Ever larger forms of a vision tower's configuration, from one that runs in milliseconds to its own.

What decides how its hidden states lie stays: the kind of every layer, patches, windows, strides, special tokens.
Smaller are the widths, the number of blocks and the images; where a class refuses that, less is made smaller.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from transformers import PreTrainedConfig

_BLOCKS = 4
_WIDTHS = {
    "hidden_size": 64,
    "embed_dim": 64,
    "intermediate_size": 128,
    "mlp_dim": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "num_heads": 4,
    "head_dim": 16,
    "attention_head_size": 16,
}
_DEPTHS = ("num_hidden_layers", "num_layers", "depth", "encoder_layers")
_STAGE_WIDTHS = ("hidden_sizes", "embed_dims", "embed_dim", "neck_hidden_sizes", "channels")
_STAGE_DEPTHS = ("depths", "depth", "num_block_repeats")
_COEFFICIENTS = {"depth_coefficient": 0.2, "width_coefficient": 0.25}
# Of checkpoints and heads, and lists of names that hold for one number of blocks only.
_LEFT_OUT = (
    *("model_type", "architectures", "transformers_version", "dtype", "out_features", "out_indices"),
    *("stage_names", "id2label", "label2id", "_attn_implementation_internal"),
)
_PATCHES = 6
"""Rows and columns of a miniature's patches."""


def forms(config: PreTrainedConfig, side: int) -> Iterator[tuple[PreTrainedConfig, int]]:
    """Ever larger forms of a tower's configuration, each with the side of its images; which of them run is not known.

    Args:
        config: The configuration of a tower.
        side: Side of the images that the tower reads, in pixels.
    """
    if config.model_type == "timm_wrapper":
        yield from _timm(config, side)
        return
    data = config.to_dict()
    for change in (_narrow, _shallow, dict):
        for smaller in _sides(data, side):
            with suppress(Exception):  # each class has its own words for sizes that do not go together
                yield _rebuilt(config, change(_resized(data, smaller))), smaller


def _rebuilt(config: PreTrainedConfig, data: dict[str, Any]) -> PreTrainedConfig:
    return type(config)(**{key: value for key, value in data.items() if key not in _LEFT_OUT})


def _sides(data: dict[str, Any], side: int) -> list[int]:
    """Sides of a miniature's images: a few patches, or what pyramids of strides and windows divide."""
    patch = _first(data.get("patch_size"))
    few = patch * _PATCHES if patch is not None and not _is_pyramid(data) else None
    return [few, side] if few is not None else [*(s for s in (192, 224, 256) if s < side), side]


def _resized(data: dict[str, Any], side: int) -> dict[str, Any]:
    if (known := data.get("image_size")) is None:
        return data
    return data | {"image_size": side if isinstance(known, int) else [side] * len(known)}


def _shallow(data: dict[str, Any]) -> dict[str, Any]:
    """Fewer blocks; lists with an entry for each block are cut."""
    if _is_pyramid(data):
        # Two blocks, since those with windows and those with shifted windows alternate.
        fewer = {k: [min(2, n) for n in data[k]] for k in _STAGE_DEPTHS if isinstance(data.get(k), list | tuple)}
        return {key: fewer.get(key, _nested(value, _shallow)) for key, value in data.items()}
    depth = next((data[name] for name in _DEPTHS if isinstance(data.get(name), int)), 0)
    smaller = {}
    for key, value in data.items():
        if key in _DEPTHS and isinstance(value, int):
            value = min(value, _BLOCKS)
        elif isinstance(value, list | tuple) and len(value) == depth > _BLOCKS:
            value = value[:_BLOCKS]
        smaller[key] = _nested(value, _shallow)
    return smaller


def _narrow(data: dict[str, Any]) -> dict[str, Any]:
    """Fewer blocks, and narrow ones."""
    data = _shallow(data)
    if not _is_pyramid(data):
        small: dict[str, Any] = {k: min(v, _WIDTHS[k]) for k, v in data.items() if k in _WIDTHS and type(v) is int}
        if {"hidden_size", "intermediate_size"} <= small.keys():
            # In proportion: of some towers, as Llama 4's, other widths follow from it.
            small["intermediate_size"] = data["intermediate_size"] * small["hidden_size"] // data["hidden_size"]
    else:
        small = {k: [n // 4 for n in data[k]] for k in _STAGE_WIDTHS if _quarters(data.get(k))}
        small |= {k: min(data[k], n) for k, n in _COEFFICIENTS.items() if isinstance(data.get(k), float)}
        if "width_coefficient" in small and isinstance(data.get("hidden_dim"), int):
            small["hidden_dim"] = round(data["hidden_dim"] * small["width_coefficient"] / data["width_coefficient"])
        if isinstance(heads := data.get("num_heads"), list | tuple) and isinstance(data.get("embed_dim"), int):
            small["embed_dim"] = 8 * heads[0]
    return {key: small.get(key, _nested(value, _narrow)) for key, value in data.items()}


def _nested(value: Any, change: Any) -> Any:
    """A configuration within another, changed too."""
    if isinstance(value, dict) and "model_type" in value:
        return {"model_type": value["model_type"], **_without(change(value))}
    return value


def _without(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in _LEFT_OUT}


def _is_pyramid(data: dict[str, Any]) -> bool:
    """Whether it has stages of different grids."""
    return any(isinstance(data.get(key), list | tuple) for key in (*_STAGE_DEPTHS, "hidden_sizes", "embed_dims"))


def _quarters(widths: Any) -> bool:
    return isinstance(widths, list | tuple) and all(isinstance(n, int) and n % 32 == 0 for n in widths)


def _first(value: Any) -> int | None:
    value = value[0] if isinstance(value, list | tuple) and value else value
    return value if type(value) is int else None


def _timm(config: PreTrainedConfig, side: int) -> Iterator[tuple[PreTrainedConfig, int]]:
    given: dict[str, Any] = dict(config.model_args or {})
    few = (1, 1, 1, 1)
    named = re.search(r"patch(\d+)", config.architecture)
    few_patches = _PATCHES * int(named[1]) if named else 96
    shapes: list[dict[str, Any]] = [
        {"embed_dim": 64, "depth": _BLOCKS, "num_heads": 4},
        {"embed_dim": 96, "depth": _BLOCKS, "num_heads": 3},
        {"depth": _BLOCKS},
        {"depths": few, "channels": (32, 64, 64, 64), "num_features": 64, "group_size": 8, "stem_chs": 32},
        {"depths": few, "dims": (32, 48, 64, 96)},
        {"depths": (2, 2, 2, 2), "embed_dim": 32},
        {"depths": few},
        {"layers": few},
        {"num_blocks": _BLOCKS},
        {"stages": (1, 1, 2, 1)},
        {},
    ]
    for shape in shapes:
        # A pyramid ends in strides of 32.
        sides = (few_patches, 96, 192, 224, side) if "depth" in shape else (192, 224, 96, side)
        for smaller in dict.fromkeys(sides):
            if smaller <= max(side, few_patches):
                for sized in ({"img_size": smaller}, {}):
                    yield type(config).from_dict(config.to_dict() | {"model_args": given | shape | sized}), smaller

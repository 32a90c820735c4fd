"""The tiny form of an LLM's configuration: all that decides how tokens meet stays, and only sizes shrink.

What lies inside of a head (its width, rotary parts, factors) stays as it is. Widths shrink with the number of heads,
so that what must fit together still fits. Windows become so narrow that a few tokens reach beyond them. Layers are cut
where each kind of layer has been seen. Numbers of an unknown name are bounded. What a name means is read from its
words, which families share (`num_attention_heads`, `n_head`, `decoder_attention_heads`); a form that cannot be built
is followed by others that shrink less.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from transformers import PreTrainedConfig

VOCABULARY = 96
_LAYERS, _POSITIONS, _UNKNOWN = 12, 512, 2**16
_FEW = 2
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads", "decoder_attention_heads")
_WIDTHS = ("hidden_size", "d_model", "n_embd", "emb_dim", "embedding_dim", "dim")
_HEAD_WIDTHS = ("head_dim", "d_kv", "attention_head_dim", "qk_head_dim", "v_head_dim")

_LAYER_COUNT = re.compile(r"(num_hidden_|n_|num_|(num_)?(en|de)coder_|^)(layers?|blocks|layers_per_stack)|n_layer")
_KEY_HEADS = re.compile(r"(^|_)(kv|key_value)_")
_HEAD_COUNT = re.compile(r"(?!.*(dim|d|lm)_head)(.+_)?heads?(_per_layer)?")
_OWN_HEADS = re.compile(r"(linear|index|mamba|n_mamba)_.*")
_WIDTH = re.compile(
    r".*(hidden_size|d_model|n_embd|emb(ed)?_dim|embedding_(size|dim)|intermediate|ffn|d_ff|dff|dim_ff|n_inner|d_inner"
    r"|lru_width|feed_forward_size|proj_dim|d_ssm).*|dim"
)
_INNER = re.compile(r".*(intermediate|ffn|d_ff|dff|dim_ff|n_inner).*")
_PERIOD = re.compile(r".*(period|interval|every_n|sparse_step|pattern|group_size$|first_k_dense|num_dense_layers).*")
_PER_LAYER = re.compile(r".*(layer|idx).*")
_UNTOUCHED = re.compile(r"rope_(parameters|scaling)|id2label|label2id")


@dataclass(frozen=True)
class Shape:
    """How far to shrink.

    Args:
        heads: Most heads; None leaves heads and widths as they are.
        inner: Widest feed-forward layer; None shrinks it as all widths.
        layers: Most layers.
        times: How often each kind of layer is seen.
    """

    heads: int | None = 4
    inner: int | None = 64
    layers: int = _LAYERS
    times: int = 1


SHAPES = (
    Shape(),
    Shape(inner=None),
    Shape(heads=8, inner=None),
    Shape(times=2),
    Shape(layers=64),
    Shape(heads=None),
)
"""The smallest first."""


def tiny_form(config: PreTrainedConfig, shape: Shape) -> PreTrainedConfig:
    """A tiny configuration of the same class.

    Args:
        config: An LLM's configuration, of any size; nothing is allocated by its numbers.
        shape: How far to shrink it.
    """
    form: PreTrainedConfig = type(config).from_dict(_shrunk(config.to_dict(), shape, Fraction(1)))
    return form


@dataclass(frozen=True)
class _Plan:
    """How the numbers of one configuration shrink.

    Args:
        data: The configuration.
        shape: How far.
        ratio: By how much its heads and widths shrink.
        depth: How many layers it has; None where it says nothing about that.
        kept: Which of them stay.
        ids: Token ids beyond the tiny vocabulary -> their new ones.
    """

    data: Mapping[str, Any]
    shape: Shape
    ratio: Fraction
    depth: int | None
    kept: tuple[int, ...]
    ids: dict[int, int] = field(default_factory=dict)

    def value(self, name: Any, value: Any) -> Any:
        """What becomes of a value."""
        if not isinstance(name, str) or _UNTOUCHED.fullmatch(name):
            return value
        if isinstance(value, dict):
            if value.get("model_type"):
                return _shrunk(value, self.shape, self.ratio)
            return {key: self.value(key, inner) for key, inner in value.items() if not self._is_cut(name, key)}
        if isinstance(value, list | tuple):
            if self.depth and len(value) == self.depth:
                return [self.value(name, value[layer]) for layer in self.kept]
            if self.depth and _names_layers(name, value, self.depth):
                return [self.kept.index(layer) for layer in value if layer in self.kept]
            return [self.value(name, inner) for inner in value]
        if isinstance(value, bool) or not isinstance(value, int):
            return value
        return self._number(name, value)

    def _is_cut(self, name: str, key: Any) -> bool:
        """Whether a mapping by layer has an entry of a layer that does not stay."""
        return name.startswith("per_layer") and str(key).isdigit() and int(key) >= len(self.kept)

    def _number(self, name: str, value: int) -> int:
        if re.fullmatch(r".*(_token_ids?|_id|_index)", name):
            return value if value < VOCABULARY else self.ids.setdefault(value, VOCABULARY - 1 - len(self.ids))
        if name == "vocab_size":
            return VOCABULARY
        if value <= 0:
            return value
        if _LAYER_COUNT.fullmatch(name) or name == "max_window_layers":
            return min(value, len(self.kept) or self.shape.layers)
        if name == "num_kv_shared_layers":
            return min(value, len(self.kept) // 2)
        if _HEAD_COUNT.fullmatch(name):
            return self._heads(name, value)
        if _WIDTH.fullmatch(name) and "qk_" not in name:
            return self._width(name, value)
        return min(value, self._limit(name))

    def _heads(self, name: str, value: int) -> int:
        if name.startswith("index_"):
            return min(value, 64)  # few of them would tie their scores
        if not _KEY_HEADS.search(name) or _OWN_HEADS.fullmatch(name):
            return _scaled(value, self.ratio)
        queries = max((n for key, n in self.data.items() if _counts_queries(key, n)), default=value)
        if value == queries or value == 1:
            return _scaled(queries, self.ratio) if value > 1 else 1
        return min(_FEW, _scaled(queries, self.ratio))

    def _width(self, name: str, value: int) -> int:
        width = _scaled(value, self.ratio)
        if re.search("moe|expert", name):
            return min(width, 64)
        hidden = _first(self.data, _WIDTHS) or 0
        expanded = any("expand" in key and isinstance(n, int) and n * hidden == value for key, n in self.data.items())
        if self.shape.inner and _INNER.fullmatch(name) and not expanded:
            return min(width, self.shape.inner)
        return min(width, _UNKNOWN)

    def _limit(self, name: str) -> int:
        grouped = (self.data.get("n_group") or self.data.get("num_expert_group") or 1) > 1
        limits = (
            (r".*vocab.*", VOCABULARY),
            (
                r"max_\w*position\w*|n_positions|n_ctx|max_seq_len|context_length|model_max_length|seq_length",
                _POSITIONS,
            ),
            (r".*(per_tok(en)?|moe_k|moe_top_?k|top_k_experts|experts?_top_?k)", _FEW),
            (r"topk_group", 1 if grouped else _FEW),
            (r".*groups?|num_shared_experts|n_shared_experts", _FEW),
            (r".*experts?(?!.*(size|dim)).*", 8 if grouped else 4),
            (r".*window(_size|_len)?|attention_window.*|local_attention|index_topk|.*radius", 4),
            (r".*(chunk_?(size|length)|block_size)", 8),
            (r".*_rank", 32),
        )
        return next((limit for pattern, limit in limits if re.fullmatch(pattern, name)), _UNKNOWN)


def _shrunk(data: Mapping[str, Any], shape: Shape, outer: Fraction) -> dict[str, Any]:
    data = {name: value for name, value in data.items() if isinstance(name, str)}
    depth, kept = _layers(data, shape)
    plan = _Plan(data, shape, _ratio(data, shape, outer), depth, kept)
    return {name: plan.value(name, value) for name, value in data.items()}


def _ratio(data: Mapping[str, Any], shape: Shape, outer: Fraction) -> Fraction:
    """By how much widths shrink: to a few heads, without heads to a narrow width, without either as the whole."""
    heads, width = _first(data, (*_HEADS, "encoder_attention_heads")), _first(data, _WIDTHS)
    if shape.heads is None:
        return Fraction(1)
    if heads:
        head_width = _first(data, _HEAD_WIDTHS) or (width or 0) // heads
        return Fraction(min(heads, shape.heads if head_width <= 128 else shape.heads // 2), heads)
    return Fraction(min(256, width), width) if width else outer


def _layers(data: Mapping[str, Any], shape: Shape) -> tuple[int | None, tuple[int, ...]]:
    """How many layers there are, and which of them show every kind: the first ones, if these are few."""
    depth = next((n for name, n in data.items() if isinstance(n, int) and _LAYER_COUNT.fullmatch(name)), None)
    if not depth or depth < 0:
        return None, ()
    seen = range(min(depth, 1000))
    columns = [v for v in data.values() if isinstance(v, list | tuple) and len(v) == depth]
    named = [set(v) for name, v in data.items() if _names_layers(name, v, depth)]
    single = data.get("per_layer_config") or {}
    kinds: dict[str, list[int]] = {}
    for layer in seen:
        kind = [column[layer] for column in columns], [layer in some for some in named]
        kinds.setdefault(repr((kind, single.get(f"{layer:02}", single.get(str(layer))))), []).append(layer)
    shown = sorted(layer for layers in kinds.values() for layer in layers[: shape.times])
    periods = [n for name, n in data.items() if isinstance(n, int) and _PERIOD.fullmatch(name) and n < shape.layers]
    patterns = [len(v) - 1 for v in data.values() if _is_pattern(v)]
    needed = max(1, *periods, *patterns, *shown) + 1
    if data.get("num_kv_shared_layers"):
        needed *= 2
    if needed <= shape.layers and shape.layers == _LAYERS:
        return depth, tuple(range(min(depth, needed)))
    return depth, tuple(range(min(depth, shape.layers))) if shape.layers > _LAYERS else tuple(shown[: shape.layers])


def _first(data: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    return next((data[name] for name in names if isinstance(data.get(name), int) and data[name] > 0), None)


def _is_pattern(value: Any) -> bool:
    """Whether a value names the kinds of a few layers, which are then repeated."""
    return isinstance(value, list | tuple) and 1 < len(value) < _LAYERS and all(isinstance(kind, str) for kind in value)


def _names_layers(name: str, value: Any, depth: int) -> bool:
    """Whether a value lists layers by their numbers."""
    listed = isinstance(value, list | tuple) and 0 < len(value) < depth and _PER_LAYER.fullmatch(name) is not None
    return listed and all(isinstance(layer, int) and 0 <= layer < depth for layer in value)


def _counts_queries(name: str, value: Any) -> bool:
    counts = isinstance(value, int) and _HEAD_COUNT.fullmatch(name) is not None
    return counts and not _KEY_HEADS.search(name) and not _OWN_HEADS.fullmatch(name)


def _scaled(value: int, ratio: Fraction) -> int:
    """A size by a ratio: exactly where that is whole, else a multiple of 8, and never nothing."""
    exact = value * ratio
    if exact.denominator == 1 or exact < 8:
        return max(1, round(exact))
    return -(-exact.numerator // (8 * exact.denominator)) * 8

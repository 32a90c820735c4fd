"""One attention function for every Hugging Face decoder, with a body for each layout and backend.

A packed batch is one row in which several samples stand one after the other. Its segments reach this function through
the attention mask (`SegmentsMask`). Any other mask means an ordinary padded batch.

| layout | device | body |
| --- | --- | --- |
| packed | CUDA, 16-bit | one variable-length kernel over the stream as it lies |
| packed | any | rows of one batch where little is padding, else segment by segment |
| padded | any | SDPA, or plain matrix products where SDPA is slower or knows no soft cap |
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from modalink.llms._segments import Segments, SegmentsMask

ATTENTION = "modalink"

# The share of padding up to which one padded call is faster on a CPU than one call a segment (benchmarks/attention.py).
PADDING_LIMIT = 0.25


def packs(llm: PreTrainedModel) -> bool:
    """Whether the LLM can read a packed batch: a pure-attention decoder that lets its attention be replaced."""
    kinds = set(getattr(llm.config, "layer_types", None) or ["full_attention"])
    attends = kinds <= {"full_attention", "sliding_attention"} and not hasattr(llm.config, "layers_block_type")
    return bool(llm._supports_attention_backend and attends and not llm.config.is_encoder_decoder)


@dataclass(frozen=True)
class _Options:
    """What a decoder layer asks of its attention."""

    scaling: float | None
    dropout: float
    window: int | None
    softcap: float | None


def attention(
    module: nn.Module,
    query: Float[Tensor, "b h t d"],
    key: Float[Tensor, "b kv u d"],
    value: Float[Tensor, "b kv u d"],
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[Float[Tensor, "b t h d"], None]:
    """Causal attention of a decoder layer, in the interface of `transformers.AttentionInterface`.

    Args:
        attention_mask: The segments of a packed batch, or a mask that `transformers.masking_utils.sdpa_mask` made
            (boolean, true where attention is allowed), or None.
        sliding_window: How many tokens a token sees, itself included; None for all before it.

    Returns:
        The attended values, and None for the attention weights.
    """
    options = _Options(scaling, dropout, sliding_window, softcap)
    if isinstance(attention_mask, SegmentsMask):
        segments = attention_mask.segments
        if _has_kernel(query, options):
            return _stream(query, key, value, segments, options), None
        return _packed(module, query, key, value, segments, options), None
    return _attend(module, query, key, value, attention_mask, options, **kwargs), None


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, options: _Options, **kwargs: Any
) -> Float[Tensor, "b t h d"]:
    """The body for the backend.

    SDPA knows no soft cap, and on a CPU its backward pass in bfloat16 is slower than plain matrix products.
    """
    slow_backward = query.device.type == "cpu" and query.dtype == torch.bfloat16 and torch.is_grad_enabled()
    if slow_backward or options.softcap is not None:
        return _eager(module, query, key, value, mask, options)
    given = {"dropout": options.dropout, "scaling": options.scaling}
    return sdpa_attention_forward(module, query, key, value, mask, **given, **kwargs)[0]


def _eager(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, options: _Options
) -> Float[Tensor, "b t h d"]:
    groups = query.shape[1] // key.shape[1]
    scores = query @ repeat_kv(key, groups).transpose(2, 3) * (options.scaling or query.shape[-1] ** -0.5)
    if options.softcap is not None:
        scores = options.softcap * torch.tanh(scores / options.softcap)
    if mask is None and query.shape[2] > 1:
        mask = _band(query.shape[2], key.shape[2], None, query.device)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = functional.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = functional.dropout(weights, p=options.dropout, training=module.training)
    return (weights @ repeat_kv(value, groups)).transpose(1, 2).contiguous()


def _has_kernel(query: Float[Tensor, "1 h t d"], options: _Options) -> bool:
    """Whether the variable-length kernel can do what a layer asks."""
    width = query.shape[-1]
    plain = options.softcap is None and not options.dropout and (options.scaling is None or options.scaling > 0)
    sixteen_bits = _computed_in(query) in (torch.bfloat16, torch.float16)
    return plain and sixteen_bits and width <= 256 and width % 8 == 0 and _flash_runs_on(query.device)


@lru_cache
def _flash_runs_on(device: torch.device) -> bool:
    return (
        device.type == "cuda"
        and torch.backends.cuda.is_flash_attention_available()
        and torch.cuda.get_device_capability(device) >= (8, 0)
    )


def _computed_in(states: Tensor) -> torch.dtype:
    """The type of products: autocast knows SDPA, and not the variable-length kernel."""
    kind = states.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else states.dtype


def _stream(
    query: Float[Tensor, "1 h t d"],
    key: Float[Tensor, "1 kv t d"],
    value: Float[Tensor, "1 kv t d"],
    segments: Segments,
    options: _Options,
) -> Float[Tensor, "1 t h d"]:
    """Attention inside each segment in one kernel over the stream: no padding, no copy, no wait."""
    dtype, ends, longest = _computed_in(query), segments.cumulative, segments.longest
    q, k, v = (states[0].transpose(0, 1).to(dtype) for states in (query, key, value))
    before = -1 if options.window is None or options.window >= longest else options.window - 1
    grouped = q.shape[1] != k.shape[1]
    attended = varlen_attn(
        q, k, v, ends, ends, longest, longest, scale=options.scaling, window_size=(before, 0), enable_gqa=grouped
    )
    assert isinstance(attended, Tensor)
    return attended[None]


def _packed(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, segments: Segments, options: _Options
) -> Float[Tensor, "1 t h d"]:
    """Attention inside each segment: all segments as rows of one batch while little is padding, else one by one."""
    padding = 1 - sum(segments.lengths) / (segments.longest * len(segments.lengths))
    streams = [states[0].transpose(0, 1) for states in (query, key, value)]
    if padding <= PADDING_LIMIT:
        q, k, v = (_to_rows(stream, segments) for stream in streams)
        attended = _attend(module, q, k, v, _window(q, options.window), options)
        return attended.flatten(0, 1).index_select(0, segments.places)[None]
    pieces = []
    for parts in zip(*(stream.contiguous().split(list(segments.lengths)) for stream in streams), strict=True):
        q, k, v = (part.transpose(0, 1)[None] for part in parts)
        pieces.append(_attend(module, q, k, v, _window(q, options.window), options)[0])
    return torch.cat(pieces)[None]


def _window(query: Float[Tensor, "s h t d"], window: int | None) -> Bool[Tensor, "t t"] | None:
    """A mask only where a window is narrower than the rows.

    Rows padded on the right need none: what is causal never sees what comes later.
    """
    length = query.shape[2]
    return _band(length, length, window, query.device) if window is not None and window < length else None


def _to_rows(states: Float[Tensor, "t h d"], segments: Segments) -> Float[Tensor, "s h longest d"]:
    """Rows of the longest segment, padded on the right with zeros."""
    rows = states.new_zeros(len(segments.lengths) * segments.longest, *states.shape[1:])
    filled = rows.index_copy(0, segments.places, states)
    return filled.unflatten(0, (-1, segments.longest)).transpose(1, 2)


def _band(t: int, u: int, window: int | None, device: torch.device) -> Bool[Tensor, "t u"]:
    """True where the query may see the key: not later, and not before the window; the last query sees the last key."""
    distance = torch.arange(u - t, u, device=device)[:, None] - torch.arange(u, device=device)
    return (distance >= 0) if window is None else (distance >= 0) & (distance < window)


AttentionInterface.register(ATTENTION, attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)

"""One attention function for every Hugging Face decoder, with a body for each layout and backend.

A packed batch is one row in which several samples stand one after the other. Its segments reach this function through
the attention mask (`SegmentsMask`). Any other mask means an ordinary padded batch.

| layout | device | body |
| --- | --- | --- |
| packed | CUDA, 16-bit | one variable-length kernel over the stream as it lies |
| packed | any | segments of like length as rows of one batch |
| padded | any | SDPA, or plain matrix products where SDPA is slower or knows no soft cap and no sinks |
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from modalink.adapters.layers import ADAPTER
from modalink.errors import PartError
from modalink.llms._segments import BothWaysMask, Segments, SegmentsMask

ATTENTION = "modalink"
PREFIX = "learned_prefix"
"""The part of an attention layer that holds the keys and values of prefix tuning."""

# What a model hands on to all that it calls, and that says nothing about how its tokens attend.
_ASIDE = {
    "logits_to_keep",
    "num_items_in_batch",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "position_ids",
    "return_dict",
    "use_cache",
}


@dataclass(frozen=True)
class _Options:
    """What a decoder layer asks of its attention."""

    scaling: float | None
    dropout: float
    window: int | None
    softcap: float | None
    sinks: Float[Tensor, " h"] | None
    bias: Tensor | None
    causal: bool
    prefix: tuple[Float[Tensor, "kv n d"], Float[Tensor, "kv n dv"]] | None = None


def attention(
    module: nn.Module,
    query: Float[Tensor, "b h t d"],
    key: Float[Tensor, "b kv u d"],
    value: Float[Tensor, "b kv u dv"],
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Float[Tensor, " h"] | None = None,
    position_bias: Tensor | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Float[Tensor, "b t h dv"], None]:
    """Causal attention of a decoder layer, in the interface of `transformers.AttentionInterface`.

    Args:
        attention_mask: The segments of a packed batch, or a mask that `transformers.masking_utils.sdpa_mask` made
            (boolean, true where attention is allowed), or None.
        sliding_window: How many tokens a token sees, itself included; None for all before it.
        s_aux: A score of each head that stands beside those of the keys and brings no value (sinks, as GPT-OSS has).
        position_bias: What is added to the scores.
        is_causal: Whether a token sees no later ones where no mask says so; None leaves it to the layer.

    Returns:
        The attended values, and None for the attention weights.

    Raises:
        PartError: A layer asks for something that this function does not know.
    """
    if unknown := sorted(name for name, value in kwargs.items() if value is not None and name not in _ASIDE):
        raise PartError(
            f"{type(module).__name__} hands {', '.join(unknown)} to its attention, which modalink's ignores"
        )
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    prefix = _prefix(module, key, value)
    options = _Options(scaling, dropout, sliding_window, softcap, s_aux, position_bias, causal, prefix)
    if isinstance(attention_mask, SegmentsMask):
        segments = attention_mask.segments
        if position_bias is not None or not causal:
            asked = "a bias of its own" if causal else "to see later tokens"
            raise PartError(f"{type(module).__name__} wants {asked}, which a packed batch has not")
        if _has_kernel(query, value, options) and not segments.prefixes:
            return _stream(query, key, value, segments, options), None
        return _packed(module, query, key, value, segments, options), None
    if isinstance(attention_mask, BothWaysMask):
        attention_mask = attention_mask.as_subclass(Tensor) & _near(query.shape[2], sliding_window, query.device)
    return _attend(module, query, key, value, attention_mask, options), None


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, options: _Options
) -> Float[Tensor, "b t h dv"]:
    """The body for the backend.

    SDPA knows neither soft cap nor sinks, and on a CPU its backward pass in bfloat16 is slower than plain products.
    """
    if options.prefix is not None:
        key, value, mask = _behind_prefix(options, query, key, value, mask)
    slow_backward = query.device.type == "cpu" and query.dtype == torch.bfloat16 and torch.is_grad_enabled()
    if slow_backward or options.softcap is not None or options.sinks is not None:
        return _eager(module, query, key, value, mask, options)
    given: dict[str, Any] = {"dropout": options.dropout, "scaling": options.scaling, "is_causal": options.causal}
    return sdpa_attention_forward(module, query, key, value, mask, position_bias=options.bias, **given)[0]


def _prefix(module: nn.Module, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor] | None:
    """The learned keys and values of a layer, as wide as its own.

    Raises:
        PartError: They are not.
    """
    held = getattr(module, PREFIX, None)
    if held is None:
        return None
    keys, values = held[ADAPTER].keys, held[ADAPTER].values
    wanted = [(states.shape[1], states.shape[3]) for states in (key, value)]
    found = [(states.shape[0], states.shape[2]) for states in (keys, values)]
    if found != wanted:
        raise PartError(
            f"{type(module).__name__} has keys and values of {wanted} heads and channels, and its learned prefix "
            f"{found}; choose another kind of llm.peft"
        )
    return keys.to(key.dtype), values.to(value.dtype)


def _behind_prefix(
    options: _Options, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Keys and values behind those that were learned, which every token sees."""
    assert options.prefix is not None
    keys, values = (states.expand(key.shape[0], -1, -1, -1) for states in options.prefix)
    if mask is None and query.shape[2] > 1 and options.causal:
        mask = _band(query.shape[2], key.shape[2], None, query.device)[None, None]
    if mask is not None:
        seen = mask.new_ones(1) if mask.dtype == torch.bool else mask.new_zeros(1)
        mask = torch.cat([seen.expand(*mask.shape[:-1], keys.shape[2]), mask], -1)
    return torch.cat([keys, key], 2), torch.cat([values, value], 2), mask


def _eager(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, options: _Options
) -> Float[Tensor, "b t h dv"]:
    groups = query.shape[1] // key.shape[1]
    scores = query @ repeat_kv(key, groups).transpose(2, 3) * (options.scaling or query.shape[-1] ** -0.5)
    if options.softcap is not None:
        scores = options.softcap * torch.tanh(scores / options.softcap)
    if options.bias is not None:
        scores = scores + options.bias
    if mask is None and query.shape[2] > 1 and options.causal:
        mask = _band(query.shape[2], key.shape[2], None, query.device)
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    elif mask is not None:
        scores = scores + mask
    if options.sinks is not None:
        sinks = options.sinks.to(scores.dtype)[None, :, None, None].expand(*scores.shape[:3], 1)
        scores = torch.cat([scores, sinks], -1)
    weights = functional.softmax(scores, dim=-1, dtype=torch.float32)[..., : key.shape[2]].to(query.dtype)
    weights = functional.dropout(weights, p=options.dropout, training=module.training)
    return (weights @ repeat_kv(value, groups)).transpose(1, 2).contiguous()


def _has_kernel(query: Float[Tensor, "1 h t d"], value: Float[Tensor, "1 kv t dv"], options: _Options) -> bool:
    """Whether the variable-length kernel can do what a layer asks."""
    width = query.shape[-1]
    plain = value.shape[-1] == width and options.softcap is None and options.sinks is None and not options.dropout
    plain = plain and options.prefix is None
    plain = plain and (options.scaling is None or options.scaling > 0)
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
) -> Float[Tensor, "1 t h dv"]:
    """Attention inside each segment: those of like length as rows of one batch."""
    streams = [states[0].transpose(0, 1) for states in (query, key, value)]
    pieces = []
    for rows in segments.rows:
        q, k, v = (rows.lay(stream).transpose(1, 2) for stream in streams)
        prefixes = tuple(segments.prefixes[sample] for sample in rows.samples) if segments.prefixes else ()
        attended = _attend(module, q, k, v, _seen(q, options.window, prefixes), options)
        pieces.append(attended.flatten(0, 1).index_select(0, rows.places))
    return (pieces[0] if len(pieces) == 1 else torch.cat(pieces).index_select(0, segments.order))[None]


def _window(query: Float[Tensor, "s h t d"], window: int | None) -> Bool[Tensor, "t t"] | None:
    """A mask only where a window is narrower than the rows.

    Rows padded on the right need none: what is causal never sees what comes later.
    """
    length = query.shape[2]
    return _band(length, length, window, query.device) if window is not None and window < length else None


def _seen(
    query: Float[Tensor, "s h t d"], window: int | None, prefixes: tuple[int, ...]
) -> Bool[Tensor, "*s t t"] | None:
    """As `_window`; in a prefix LM the first tokens of each row also see each other, as near as the window is."""
    if not prefixes:
        return _window(query, window)
    length, device = query.shape[2], query.device
    first = torch.arange(length, device=device) < torch.tensor(prefixes, device=device)[:, None]
    ahead = first[:, :, None] & first[:, None, :] & _near(length, window, device)
    return (_band(length, length, window, device) | ahead)[:, None]


def _near(length: int, window: int | None, device: torch.device) -> Bool[Tensor, "t t"]:
    """True where tokens are less than a window apart, whichever comes first."""
    place = torch.arange(length, device=device)
    return (place[:, None] - place).abs() < (length if window is None else window)


def _band(t: int, u: int, window: int | None, device: torch.device) -> Bool[Tensor, "t u"]:
    """True where the query may see the key: not later, and not before the window; the last query sees the last key."""
    distance = torch.arange(u - t, u, device=device)[:, None] - torch.arange(u, device=device)
    return (distance >= 0) if window is None else (distance >= 0) & (distance < window)


AttentionInterface.register(ATTENTION, attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)

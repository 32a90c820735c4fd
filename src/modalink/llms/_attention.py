"""One attention function for every Hugging Face decoder, with a body for each layout and backend.

A packed batch is one row in which several sequences stand one after the other. Its segments reach this function through
the attention mask, because that is the one argument which every decoder hands on unchanged: an integer tensor
`[1, 1, 1, s + 1]` of cumulative lengths. Any other mask means an ordinary padded batch.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ATTENTION = "modalink"

# The share of padding up to which one padded call is faster on a CPU than one call a segment (benchmarks/attention.py).
PADDING_LIMIT = 0.25


def segments_mask(segments: list[int], device: torch.device | None = None) -> Int[Tensor, "1 1 1 s"]:
    """The attention mask that carries the cumulative lengths of a packed batch, for example `[0, 3, 8]`."""
    return torch.tensor(segments, dtype=torch.int32, device=device)[None, None, None]


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
        attention_mask: Cumulative lengths of a packed batch (integers, see the module), or a mask that
            `transformers.masking_utils.sdpa_mask` made (boolean, true where attention is allowed), or None.
        sliding_window: How many tokens a token sees, itself included; None for all before it.

    Returns:
        The attended values, and None for the attention weights.
    """
    options = _Options(scaling, dropout, sliding_window, softcap)
    if attention_mask is not None and attention_mask.dtype == torch.int32:
        return _packed(module, query, key, value, attention_mask.flatten().tolist(), options), None
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


def _packed(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, segments: list[int], options: _Options
) -> Float[Tensor, "1 t h d"]:
    """Attention inside each segment: all segments as rows of one batch while little is padding, else one by one."""
    lengths = [end - start for start, end in pairwise(segments)]
    padding = 1 - sum(lengths) / (max(lengths) * len(lengths))
    batches = [lengths] if padding <= PADDING_LIMIT else [[length] for length in lengths]
    streams = [states[0].transpose(0, 1).contiguous() for states in (query, key, value)]
    attended, start = [], 0
    for batch in batches:
        end = start + sum(batch)
        q, k, v = (_to_rows(stream[start:end], batch) for stream in streams)
        attended.append(_from_rows(_attend(module, q, k, v, _window(q, options.window), options), batch))
        start = end
    return torch.cat(attended)[None]


def _window(query: Float[Tensor, "s h t d"], window: int | None) -> Bool[Tensor, "t t"] | None:
    """A mask only where a window is narrower than the rows.

    Rows padded on the right need none: what is causal never sees what comes later.
    """
    length = query.shape[2]
    return _band(length, length, window, query.device) if window is not None and window < length else None


def _to_rows(states: Float[Tensor, "t h d"], lengths: list[int]) -> Float[Tensor, "s h longest d"]:
    if len(lengths) == 1:
        return states.transpose(0, 1)[None]
    return pad_sequence(list(states.split(lengths)), batch_first=True).transpose(1, 2)


def _from_rows(attended: Float[Tensor, "s longest h d"], lengths: list[int]) -> Float[Tensor, "t h d"]:
    return torch.cat([row[:length] for row, length in zip(attended, lengths, strict=True)])


def _band(t: int, u: int, window: int | None, device: torch.device) -> Bool[Tensor, "t u"]:
    """True where the query may see the key: not later, and not before the window; the last query sees the last key."""
    distance = torch.arange(u - t, u, device=device)[:, None] - torch.arange(u, device=device)
    return (distance >= 0) if window is None else (distance >= 0) & (distance < window)


AttentionInterface.register(ATTENTION, attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)

"""One attention function for every Hugging Face decoder, with a body for each layout and backend.

A packed batch is one row in which several sequences stand one after the other. Its segments reach this function through
the attention mask, because that is the one argument which every decoder hands on unchanged: an integer tensor
`[1, 1, 1, s + 1]` of cumulative lengths. Any other mask means an ordinary padded batch.
"""

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
    if attention_mask is not None and attention_mask.dtype == torch.int32:
        segments = attention_mask.flatten().tolist()
        return _packed(module, query, key, value, segments, scaling, dropout, sliding_window, softcap), None
    if _prefers_eager(query, softcap):
        return _eager(module, query, key, value, attention_mask, scaling, dropout, softcap), None
    attended, _ = sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
    )
    return attended, None


def _prefers_eager(query: Tensor, softcap: float | None) -> bool:
    """SDPA knows no soft cap, and on a CPU its backward pass in bfloat16 is slower than plain matrix products."""
    slow_backward = query.device.type == "cpu" and query.dtype == torch.bfloat16 and torch.is_grad_enabled()
    return softcap is not None or slow_backward


def _eager(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scaling: float | None,
    dropout: float,
    softcap: float | None,
) -> Tensor:
    groups = query.shape[1] // key.shape[1]
    scores = query @ repeat_kv(key, groups).transpose(2, 3) * (scaling or query.shape[-1] ** -0.5)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if mask is None and query.shape[2] > 1:
        mask = _band(query.shape[2], key.shape[2], None, query.device)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = functional.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = functional.dropout(weights, p=dropout, training=module.training)
    return (weights @ repeat_kv(value, groups)).transpose(1, 2).contiguous()


def _packed(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    segments: list[int],
    scaling: float | None,
    dropout: float,
    sliding_window: int | None,
    softcap: float | None,
) -> Tensor:
    lengths = [end - start for start, end in pairwise(segments)]
    longest = max(lengths)
    waste = 1 - sum(lengths) / (longest * len(lengths))
    batches = [lengths] if waste <= PADDING_LIMIT else [[length] for length in lengths]
    query, key, value = (states[0].transpose(0, 1).contiguous() for states in (query, key, value))

    attended, start = [], 0
    for batch in batches:
        size = sum(batch)
        rows = [_to_rows(states[start : start + size], batch) for states in (query, key, value)]
        attended.append(_from_rows(_causal(module, *rows, scaling, dropout, sliding_window, softcap), batch))
        start += size
    return torch.cat(attended)[None]


def _causal(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float | None,
    dropout: float,
    sliding_window: int | None,
    softcap: float | None,
) -> Tensor:
    """Rows padded on the right need no padding mask: what is causal never sees what comes later."""
    length = query.shape[2]
    windowed = sliding_window is not None and sliding_window < length
    mask = _band(length, length, sliding_window, query.device) if windowed else None
    if _prefers_eager(query, softcap):
        return _eager(module, query, key, value, mask, scaling, dropout, softcap)
    attended, _ = sdpa_attention_forward(module, query, key, value, mask, dropout=dropout, scaling=scaling)
    return attended


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

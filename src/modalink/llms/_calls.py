"""One way to call every decoder, whatever its family calls what it keeps of earlier tokens, and what it leaves out."""

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, EncoderDecoderCache
from transformers.modeling_outputs import MoeModelOutputWithPast

from modalink.errors import PartError
from modalink.llms._meetings import keep_meeting, meeting_before

KEYS = "past_key_values"
_CACHES = (KEYS, "cache_params", "state")
"""How families call their cache: decoders with attention, Mamba and its kin, RWKV."""


@dataclass(frozen=True)
class Decoded:
    """What a decoder gives.

    Args:
        logits: `[b, t, v]`, or `[m, v]` for the m positions that a boolean mask names.
        cache: What it keeps of the tokens so far; None if it was not asked to.
        hidden_states: Every layer's states, when asked for.
        attentions: Every layer's attention weights, when asked for.
    """

    logits: Tensor
    cache: Any
    hidden_states: tuple[Tensor, ...] | None
    attentions: tuple[Tensor, ...] | None

    @property
    def states(self) -> tuple[Float[Tensor, "b t d_llm"], ...]:
        """Every layer's states, input embeddings first.

        Raises:
            PartError: The LLM gave none, or was not asked.
        """
        if not self.hidden_states:
            raise PartError("found no hidden states in what the LLM gives, needed them for output projectors")
        return self.hidden_states


def decode(
    llm: PreTrainedModel,
    *,
    inputs_embeds: Float[Tensor, "b t d_llm"],
    attention_mask: Tensor | None = None,
    position_ids: Int[Tensor, "b t"] | None = None,
    cache: Any = None,
    logits_to_keep: int | Int[Tensor, " m"] | Bool[Tensor, "b t"] = 0,
    **options: Any,
) -> Decoded:
    """One pass of a decoder-only LLM.

    Args:
        llm: The LLM, with its head.
        inputs_embeds: Embedded input: of the new tokens alone, behind a cache.
        attention_mask: 1 for tokens and 0 for padding, those of the cache included, or the mask of `Segments`.
        position_ids: Place of each token in its own sample.
        cache: What an earlier pass gave.
        logits_to_keep: How many of the last positions need logits (0 = all), a mask of positions, or the positions.
        options: The LLM's own.

    """
    known, takes_any = _parameters(type(llm).forward)
    name = cache_name(type(llm))
    if name is not None:
        options[name] = cache
    if name != KEYS and cache is not None:
        attention_mask = None  # a state holds no padding that a mask could hide, and families count the new tokens only
    if takes_any or "position_ids" in known:
        options["position_ids"] = position_ids
    slices = "logits_to_keep" in known
    if slices:
        options["logits_to_keep"] = logits_to_keep
    output = llm(inputs_embeds=inputs_embeds, attention_mask=attention_mask, **options)
    logits = output.logits if slices else _kept(output.logits, logits_to_keep)
    return Decoded(logits, output.get(name) if name else None, output.get("hidden_states"), output.get("attentions"))


def takes_positions(family: type[PreTrainedModel]) -> bool:
    """Whether a family is told at which positions its tokens stand."""
    return "position_ids" in _parameters(family.forward)[0]


def cache_name(family: type[PreTrainedModel]) -> str | None:
    """The argument under which a family takes and gives what it keeps of earlier tokens; None if it keeps nothing."""
    return next((name for name in _CACHES if name in _parameters(family.forward)[0]), None)


def select_rows(cache: Any, index: Int[Tensor, " n"]) -> Any:
    """Some rows of a cache; the cache itself stays as it is.

    Raises:
        PartError: The cache is of a kind whose rows cannot be told apart.
    """
    if cache is None:
        raise PartError("its passes give back nothing that it keeps of earlier tokens")
    if isinstance(cache, list) and all(isinstance(state, Tensor) for state in cache):
        return [state[index] for state in cache]
    chosen = copy.copy(cache)
    if isinstance(chosen, EncoderDecoderCache):
        chosen.self_attention_cache = select_rows(chosen.self_attention_cache, index)
        chosen.cross_attention_cache = select_rows(chosen.cross_attention_cache, index)
        chosen.is_updated = dict(chosen.is_updated)
        return chosen
    if not isinstance(getattr(chosen, "layers", None), list):
        raise PartError(f"the cache {type(cache).__name__} has no layers of which rows could be kept")
    chosen = _apart(cache)
    chosen.layers = [_apart(layer) for layer in chosen.layers]
    if type(chosen).batch_select_indices is not Cache.batch_select_indices:
        chosen.batch_select_indices(index)  # a family's own, which keeps more than its layers do
    else:
        chosen.reorder_cache(index)
    if (met := meeting_before(cache)) is not None:
        keep_meeting(met.select(index.tolist()), chosen)
    return chosen


def _apart(kept: Any) -> Any:
    """A copy whose lists and mappings of states can be written without changing the original's."""
    chosen = copy.copy(kept)
    for name, value in vars(chosen).items():
        if isinstance(value, dict | list):
            setattr(chosen, name, copy.copy(value))
    return chosen


def encoded(states: Float[Tensor, "b t d"] | None) -> MoeModelOutputWithPast:
    """What an encoder-decoder's decoder is given of its encoder; families with experts look for their routes in it."""
    return MoeModelOutputWithPast(last_hidden_state=states)


def _kept(logits: Float[Tensor, "b t v"], keep: int | Tensor) -> Tensor:
    if isinstance(keep, int):
        return logits[:, -keep:] if keep else logits
    return logits[keep] if keep.dtype == torch.bool else logits[:, keep]


@lru_cache
def _parameters(forward: Callable[..., Any]) -> tuple[frozenset[str], bool]:
    """The arguments of a family's forward, and whether it takes others too."""
    parameters = inspect.signature(forward).parameters
    return frozenset(parameters), any(p.kind is p.VAR_KEYWORD for p in parameters.values())

"""The language model of a system as LLaVA's classes hold it: plain layers, and one table that has all tokens."""

from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from modalink.adapters import ADAPTER, adapted, merge_adapters, unload_adapters
from modalink.errors import PartError
from modalink.llms import NewTokenEmbedding, NewTokenHead


@dataclass(frozen=True)
class Language:
    """A language model in pieces.

    Args:
        decoder: All but its head.
        head: The map to logits.
        config: The decoder's configuration.
    """

    decoder: PreTrainedModel
    head: nn.Linear
    config: PreTrainedConfig


@dataclass(frozen=True)
class Adapters:
    """Adapters that were taken out.

    Args:
        config: Their settings.
        weights: Name within the decoder -> tensor; none where they were merged.
    """

    config: Any
    weights: dict[str, Tensor]


def take_adapters(llm: PreTrainedModel, *, merge: bool) -> Adapters | None:
    """Take adapters out of a model, in place.

    Args:
        llm: A model with adapters or without.
        merge: Whether the layers get what the adapters learned.

    Returns:
        The adapters; None where there are none.

    Raises:
        PartError: They compute something that no weight could, or are to stand beside it and no LoRA.
    """
    if not adapted(llm):
        return None
    config = llm.peft_config[ADAPTER] if hasattr(llm, "peft_config") else None
    if not merge and not isinstance(config, LoraConfig):
        raise PartError("llm.peft: only LoRA can stand beside the exported model; leave out --lora beside")
    weights = {} if merge else _weights(llm)
    if merge:
        merge_adapters(llm)
    else:
        unload_adapters(llm)
    return Adapters(config, weights)


def _weights(llm: PreTrainedModel) -> dict[str, Tensor]:
    prefix = f"{llm.base_model_prefix}."
    return {
        name.removeprefix(prefix).replace(f".{ADAPTER}.", "."): tensor.detach().clone()
        for name, tensor in llm.state_dict().items()
        if ".lora_" in name
    }


@torch.no_grad()
def language_of(llm: PreTrainedModel, tokens: int) -> Language:
    """The pieces of a causal LM without adapters, whose table and head have rows for so many tokens.

    Rows that are new are the mean of the others: such a token is never the likeliest.
    """
    embedding, head = llm.get_input_embeddings(), llm.get_output_embeddings()
    tied = head.weight is embedding.weight
    config = type(llm.config).from_dict(llm.config.to_dict())
    config.vocab_size = max(tokens, embedding.weight.shape[0], head.weight.shape[0])
    plain = not isinstance(embedding, NewTokenEmbedding) and not isinstance(head, NewTokenHead)
    if not plain or config.vocab_size > min(embedding.weight.shape[0], head.weight.shape[0]):
        table = _table(embedding, config.vocab_size)
        llm.set_input_embeddings(table)
        head = _head(head, config.vocab_size)
        if tied:
            head.weight = table.weight
    config.tie_word_embeddings = tied
    config.architectures = [type(llm).__name__]
    return Language(llm.base_model, head, config)


def _table(embedding: Any, rows: int) -> nn.Embedding:
    # Its class may do more than look up: Gemma's scales.
    base = embedding.base if isinstance(embedding, NewTokenEmbedding) else embedding
    base.weight = nn.Parameter(_extended(embedding.weight, rows), requires_grad=False)
    base.num_embeddings = rows
    return base


def _head(head: Any, rows: int) -> nn.Linear:
    weight = nn.Parameter(_extended(head.weight, rows), requires_grad=False)
    made = nn.Linear(weight.shape[1], rows, bias=False, device="meta")
    made.weight = weight
    return made


def _extended(weight: Tensor, rows: int) -> Tensor:
    weight = weight.detach()
    mean = weight.float().mean(0).to(weight.dtype)
    return torch.cat([weight, mean.expand(rows - weight.shape[0], -1)])

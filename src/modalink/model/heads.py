"""Heads of one number on the LLM's last state: what a reply is worth, and what is expected of one that goes on."""

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from modalink.errors import PartError
from modalink.model.configuration import ModalinkConfig

_DO = {"reward_head": "scores no replies", "value_head": "expects nothing of replies that go on"}


def scalar_head(config: ModalinkConfig, llm: PreTrainedModel, name: str) -> nn.Linear | None:
    """A head that says 0 of everything until it learns; None where the system has none.

    Args:
        config: The system's configuration.
        llm: Its LLM.
        name: What the head is called in the LLM's settings.
    """
    if not config.spec.get("llm", {}).get(name):
        return None
    embedding = cast(Any, llm.get_input_embeddings())
    head = nn.Linear(embedding.embedding_dim, 1, bias=False, device=embedding.weight.device)
    nn.init.zeros_(head.weight)
    return head


def scores_of(head: nn.Linear | None, states: Float[Tensor, "s d_llm"], name: str) -> Float[Tensor, " s"]:
    """What a head says of states, float32, or float64 of a head in float64.

    Raises:
        PartError: The system has no such head.
    """
    if head is None:
        raise PartError(f"found a system that {_DO[name]}; give its LLM a head: llm.{name}: true")
    scores: Tensor = head(states.to(head.weight.dtype))[:, 0]
    return scores if scores.dtype is torch.float64 else scores.float()

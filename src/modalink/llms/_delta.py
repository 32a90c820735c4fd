"""Weights that were published as a difference to others, as Vicuna's first versions to LLaMA's."""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from modalink.errors import PartError

_LOOKS_WHOLE = 0.5
"""A norm whose difference is as large as this share of its weights was not fine-tuned: it is no difference."""


@torch.no_grad()
def add_base(delta: PreTrainedModel, base: PreTrainedModel, checkpoint: str, base_checkpoint: str) -> None:
    """Turn a difference into the weights that it was made of, in place.

    For rows of tokens that the base does not have, the difference holds their weights.

    Args:
        delta: An LLM whose weights are a difference.
        base: What it is a difference to.
        checkpoint: What errors call the difference.
        base_checkpoint: What errors call the base.

    Raises:
        PartError: They have not the same weights, or the difference is no difference.
    """
    where = f"llm.delta {checkpoint}"
    own, under = dict(delta.named_parameters()), dict(base.named_parameters())
    if other := sorted(own.keys() ^ under.keys()):
        raise PartError(
            f"{where}: {other[0]} (of {len(other)}) is not in both it and {base_checkpoint}; choose its base"
        )
    tables = {id(table.weight) for table in (delta.get_input_embeddings(), delta.get_output_embeddings())}
    for name, parameter in own.items():
        added, lacking = under[name], parameter.shape[0] - under[name].shape[0]
        fits = lacking == 0 or (lacking > 0 and id(parameter) in tables)
        if parameter.shape[1:] != added.shape[1:] or not fits:
            raise PartError(
                f"{where}: its {name} has the shape {list(parameter.shape)}, and that of {base_checkpoint} "
                f"{list(added.shape)}; choose its base"
            )
        _check_difference(where, name, parameter, added)
    for name, parameter in own.items():
        rows = parameter[: under[name].shape[0]]
        rows.copy_((rows.float() + under[name].float()).to(rows.dtype))
        if not parameter.isfinite().all():
            raise PartError(f"{where}: its {name} and that of {base_checkpoint} have no finite sum; fetch both again")


def _check_difference(where: str, name: str, delta: Tensor, base: Tensor) -> None:
    if "norm" in name and name.endswith("weight") and delta.float().norm() > _LOOKS_WHOLE * base.float().norm():
        raise PartError(
            f"{where}: its {name} is as large as the base's, so that it looks like whole weights and no difference; "
            "name it as checkpoint, without delta"
        )

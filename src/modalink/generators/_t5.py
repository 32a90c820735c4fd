"""States of T5 for captions, as several generators read them: none where a mask leaves one out."""

from typing import Any

import torch
from torch import Tensor

from modalink.roles import Conditions


@torch.no_grad()
def read_t5(
    name: str, tokenizer: Any, encoder: Any, texts: list[str], tokens: int | None, *, reads_filling: bool = False
) -> Conditions:
    """T5's states of captions, with their mask; a caption that is too long is cut.

    Args:
        name: What the condition is called.
        tokenizer: T5's.
        encoder: T5's.
        texts: Captions.
        tokens: To how many they are filled or cut.
        reads_filling: Whether T5 itself looks at what fills them, as some pipelines let it.
    """
    read = tokenizer(
        texts,
        padding="max_length",
        max_length=tokens,
        truncation=True,
        split_special_tokens=True,  # what a caption spells out does not act
        return_tensors="pt",
    ).to(encoder.device)
    there = read.attention_mask.bool()
    states = encoder(read.input_ids, attention_mask=None if reads_filling else read.attention_mask).last_hidden_state
    return Conditions({name: states.where(there[..., None], 0)}, {name: there})


def no_tokens(name: str, items: int, shape: tuple[int, ...], like: Tensor) -> Conditions:
    """No text at all: states of which none is there.

    Args:
        name: What the condition is called.
        items: How many.
        shape: Tokens and width of one.
        like: A tensor with the device and precision.
    """
    states = like.new_zeros(items, *shape)
    return Conditions({name: states}, {name: torch.zeros(states.shape[:2], dtype=torch.bool, device=like.device)})

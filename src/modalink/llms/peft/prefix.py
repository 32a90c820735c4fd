"""Prefix tuning: learned keys and values in front of every layer's own.

They are put in front inside of the attention function, so that every sample of a packed stream sees them, and no cache
and no position counts them. The prefix encoder of the peft library writes them into a cache instead, which a packed
stream has not.

Source: Li and Liang, arXiv 2101.00190, section 4, without the network in front of the prefix.
"""

from typing import Literal, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from modalink.adapters.layers import attach
from modalink.errors import PartError
from modalink.kinds import Count
from modalink.llms._attention import ATTENTION, PREFIX
from modalink.llms._layers import decoder_layers
from modalink.llms._probe import fit_of
from modalink.roles import PeftConfig


class PrefixConfig(PeftConfig):
    """Learned keys and values."""

    kind: Literal["prefix"] = "prefix"
    tokens: Count
    """How many of them each layer has."""

    def tiny(self) -> "PrefixConfig":
        return self.at_most(tokens=8)

    def put_into(self, llm: PreTrainedModel, checkpoint: str) -> None:
        if llm.config.is_encoder_decoder:
            raise PartError(
                f"llm {checkpoint}: {type(llm).__name__} is an encoder-decoder, whose attention takes no prefix; "
                "choose another kind of llm.peft, such as lora"
            )
        if llm.device.type != "meta" and (fit := fit_of(llm)).attention != ATTENTION:
            raise PartError(
                f"llm {checkpoint}: {type(llm).__name__} keeps its own attention ({fit.reason}), which takes no "
                "prefix; choose another kind of llm.peft, such as lora"
            )
        config = llm.config.get_text_config(decoder=True)
        for number, layer in enumerate(decoder_layers(llm)):
            found = [
                module for module in layer.modules() if hasattr(module, "layer_idx") and hasattr(module, "head_dim")
            ]
            if len(found) != 1:
                raise PartError(
                    f"llm {checkpoint}: layer {number} of {type(llm).__name__} has {len(found)} attentions that say "
                    "how wide their heads are, needed one for llm.peft: prefix; choose another kind"
                )
            heads = config.num_attention_heads // getattr(found[0], "num_key_value_groups", 1)
            attach(found[0], PREFIX, Prefix(int(heads), self.tokens, int(cast(int, found[0].head_dim))).to(llm.device))


class Prefix(nn.Module):
    """Keys and values of one layer.

    Args:
        heads: How many heads keys have.
        tokens: How many keys there are.
        dim: Width of a head.
    """

    def __init__(self, heads: int, tokens: int, dim: int) -> None:
        super().__init__()
        self.keys = nn.Parameter(torch.randn(heads, tokens, dim) * 0.02)
        self.values = nn.Parameter(torch.randn(heads, tokens, dim) * 0.02)

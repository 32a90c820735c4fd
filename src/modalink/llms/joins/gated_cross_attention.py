"""Blocks before some of the LLM's layers that read media, behind gates that are closed at first, as Flamingo has them.

Media stay outside the text: one learned token stands where an item was said, and from there on tokens read the item.

Source: Flamingo, arXiv 2204.14198, section 2.2 and appendix A.1; as open_flamingo has it, with two differences: a token
with no item before it reads nothing also where all items are read, and the blocks begin with the layer `first`.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.activations import ACT2FN

from modalink.kinds import Count, Width
from modalink.llms._layers import decoder_layers, every_nth
from modalink.llms.joins._sight import Attends, KeysValues, Sight
from modalink.llms.joins._vectors import PerModality
from modalink.ragged import Layout, Ragged
from modalink.roles import Join, JoinConfig, Meeting, Placed, Rows


class GatedCrossAttentionConfig(JoinConfig):
    """Gated cross-attention before every n-th layer; media are outside the text."""

    in_layers: ClassVar[bool] = True
    kind: Literal["gated_cross_attention"] = "gated_cross_attention"
    every: Count = 4
    """A block stands before every so many layers."""
    first: Annotated[int, Field(ge=0)] = 0
    """The layer before which the first block stands, from 0; open_flamingo has `every` - 1."""
    attends: Attends = "last"
    """What a token reads: the `last` item before it, or `all` items before it."""
    media_width: Width | None = None
    """Width of the tokens that input projectors make; None is the LLM's."""
    heads: Count = 16
    """Attention heads."""
    head_width: Width = 128
    """Width of each head."""
    feed_forward: Count = 4
    """Width of the feed-forward layer, as a multiple of the LLM's."""
    activation: Literal["squared_relu", "gelu"] = "squared_relu"
    """Between its two layers; open_flamingo has `gelu`."""

    def tiny(self) -> "GatedCrossAttentionConfig":
        """Small blocks before every second layer at least."""
        return self.at_most(every=2, first=1, media_width=32, heads=4, head_width=16)

    def trial(self) -> "GatedCrossAttentionConfig":
        return self.tiny().replace(every=1, first=0, media_width=None)

    @property
    def learns(self) -> bool:
        return True

    def prompt_width(self, width: int) -> int:
        return self.media_width or width

    def places(self, prompt: Layout) -> Layout:
        return Layout(prompt.units, (1,))

    def build(self, llm: PreTrainedModel, modalities: Sequence[str]) -> "GatedCrossAttention":
        """The blocks, their gates closed.

        Raises:
            PartError: The LLM has no layers for them.
        """
        return GatedCrossAttention(self, llm, modalities)


class GatedCrossAttention(Join):
    """The blocks, and the tokens that stand for media.

    Args:
        config: Their sizes.
        llm: The LLM that they are made for.
        modalities: What comes in.
    """

    def __init__(self, config: GatedCrossAttentionConfig, llm: PreTrainedModel, modalities: Sequence[str]) -> None:
        super().__init__()
        self.attends = config.attends
        self.numbers = every_nth(decoder_layers(llm), config.every, config.first)
        self.tokens = PerModality(llm, modalities)
        width = llm.get_input_embeddings().embedding_dim
        self.blocks = nn.ModuleList(GatedBlock(config, width) for _ in self.numbers)

    def hooks(self, llm: PreTrainedModel) -> Iterator[Any]:
        layers = decoder_layers(llm)
        for number, layer in enumerate(self.numbers):
            hook = partial(self._before, number)
            yield layers[layer].register_forward_pre_hook(hook, with_kwargs=True)

    def _before(
        self, number: int, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        sight = self.meeting if isinstance(self.meeting, Sight) else None
        if args:
            return (self.blocks[number](args[0], sight, number), *args[1:]), kwargs
        return args, kwargs | {"hidden_states": self.blocks[number](kwargs["hidden_states"], sight, number)}

    def lengths(self, prompt: Ragged) -> tuple[int, ...]:
        return (1,) * len(prompt)

    def embed(self, embeds: Float[Tensor, "b t d_llm"], items: Sequence[Placed]) -> Float[Tensor, "b t d_llm"]:
        """Put the learned token of its modality where each item was said."""
        for placed in items:
            token = self.tokens(placed.modality).to(embeds.dtype).expand(len(placed.index), -1)
            embeds = embeds.flatten(0, 1).index_copy(0, placed.index, token).view_as(embeds)
        return embeds

    def meet(self, rows: Rows, items: Sequence[Placed], before: Meeting | None) -> Sight:
        return Sight.of(rows, items, before if isinstance(before, Sight) else None, self.attends)


class GatedBlock(nn.Module):
    """Cross-attention to media and a feed-forward layer, each behind a gate; both gates are closed at first.

    Args:
        config: Its sizes.
        width: Width of the LLM.
    """

    def __init__(self, config: GatedCrossAttentionConfig, width: int) -> None:
        super().__init__()
        inner, hidden = config.heads * config.head_width, config.feed_forward * width
        self.heads = config.heads
        self.attention_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, inner, bias=False)
        self.key_value = nn.Linear(config.media_width or width, 2 * inner, bias=False)
        self.out = nn.Linear(inner, width, bias=False)
        self.attention_gate = nn.Parameter(torch.zeros(1))
        self.feed_forward_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden, bias=False)
        self.activation = ACT2FN["relu2" if config.activation == "squared_relu" else "gelu"]
        self.down = nn.Linear(hidden, width, bias=False)
        self.feed_forward_gate = nn.Parameter(torch.zeros(1))

    def forward(self, states: Float[Tensor, "b t d_llm"], sight: Sight | None, number: int) -> Tensor:
        """The LLM's states with what media add to them.

        Args:
            states: The states before a layer.
            sight: Which media each token reads.
            number: Which of the join's blocks this is.
        """
        own = states.to(self.up.weight.dtype)
        if sight is not None and sight.views is not None:
            own = own + self._read(own, sight, number) * self.attention_gate.tanh()
        own = own + self.down(self.activation(self.up(self.feed_forward_norm(own)))) * self.feed_forward_gate.tanh()
        return own.to(states.dtype)

    def _read(self, states: Float[Tensor, "b t d_llm"], sight: Sight, number: int) -> Float[Tensor, "b t d_llm"]:
        assert sight.views is not None
        flat = states.flatten(0, 1)
        query = self._split(self.query(self.attention_norm(sight.runs(flat))))
        key, value = sight.views.keys_values(number, self._keys_values)
        mask = None if sight.views.there is None else sight.views.there[:, None, None]
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return sight.flat(self.out(attended.transpose(1, 2).flatten(2)), flat).view_as(states)

    def _keys_values(self, media: Float[Tensor, "r m d"]) -> KeysValues:
        key, value = self.key_value(media.to(self.key_value.weight.dtype)).chunk(2, dim=-1)
        return self._split(key), self._split(value)

    def _split(self, states: Float[Tensor, "r m inner"]) -> Float[Tensor, "r h m w"]:
        return states.unflatten(-1, (self.heads, -1)).transpose(1, 2)

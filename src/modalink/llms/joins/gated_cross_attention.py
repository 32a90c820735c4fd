"""Blocks before some of the LLM's layers that read media, behind gates that are closed at first, as Flamingo has them.

Media stay outside the text: one learned token stands where an item was said, and from there on tokens read the item.

Source: Flamingo, arXiv 2204.14198, section 2.2 and appendix A.1; as open_flamingo has it, with two differences: a token
with no item before it reads nothing also where all items are read, and the blocks begin with the layer `first`.
IDEFICS has RMSNorm, a gated feed-forward layer and norms of queries and keys: transformers' `IdeficsModel`.
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.activations import ACT2FN

from modalink.kinds import Count, Width
from modalink.llms._layers import decoder_layers, every_nth
from modalink.llms._vocabulary import TABLE
from modalink.llms.joins._borrowing import BorrowingJoinConfig, Origin
from modalink.llms.joins._sight import Attends, KeysValues, Sight
from modalink.llms.joins._vectors import PerModality
from modalink.ragged import Layout, Ragged
from modalink.roles import Join, Meeting, Placed, Rows

BLOCK_NAMES = {
    "cross_attn.q_proj.": "query.",
    "cross_attn.k_proj.": "key.",
    "cross_attn.v_proj.": "value.",
    "cross_attn.o_proj.": "out.",
    "cross_attn.q_layer_norm.": "query_norm.",
    "cross_attn.k_layer_norm.": "key_norm.",
    "mlp.gate_proj.": "gate.",
    "mlp.up_proj.": "up.",
    "mlp.down_proj.": "down.",
    "input_layernorm.": "attention_norm.",
    "post_attention_layernorm.": "feed_forward_norm.",
    "alpha_cross_attn": "attention_gate",
    "alpha_dense": "feed_forward_gate",
}
"""Beginnings of names in a block of IDEFICS -> here."""
IMAGE_ROW = 1
"""Where the sign of an image stands among the tokens that IDEFICS added to LLaMA's, behind that around an image."""
_ORIGINS = (
    Origin(
        r"(?:model\.)?gated_cross_attn_layers\.",
        {rf"(\d+)\.{re.escape(there)}": rf"blocks.\1.{here}" for there, here in BLOCK_NAMES.items()} | {r"": ""},
        beside={r"(?:model\.)?embed_tokens\.additional_embedding\.weight$": "tokens.weight"},
        told={
            "cross_layer_interval": "every",
            "num_attention_heads": "heads",
            "rms_norm_eps": "norm_eps",
            "hidden_act": "activation",
        },
        settings={"norm": "rms", "gated": True, "first": 0, "attends": "last"},
        rows={"tokens.weight": IMAGE_ROW},
    ),
)
"""IDEFICS of transformers."""
_OPEN_FLAMINGO = {
    "attn.norm.": "attention_norm.",
    "attn.to_q.": "query.",
    "attn.to_kv.": "key+value.",
    "attn.to_out.": "out.",
    "attn_gate": "attention_gate",
    "ff.0.": "feed_forward_norm.",
    "ff.1.": "up.",
    "ff.3.": "down.",
    "ff_gate": "feed_forward_gate",
}
"""Beginnings of names in a block of OpenFlamingo -> here."""
_MOST_LAYERS = 256


def _open_flamingo(first: int, every: int, row: int | None) -> Origin:
    """Where OpenFlamingo's checkpoints keep blocks: in the layers before which they stand, by the layers' numbers.

    The sign of an image is a row of the LLM's table.
    """
    path, layer = r"(?:\w+\.)+", r"gated_cross_attn_layer\."
    names = {
        rf"{path}{place}\.{layer}{re.escape(there)}": f"blocks.{number}.{here}"
        for number, place in enumerate(range(first, _MOST_LAYERS, every))
        for there, here in _OPEN_FLAMINGO.items()
    }
    settings = {"activation": "gelu", "norm": "layer", "gated": False, "head_width": 64, "attends": "last"}
    others = {rf"{path}(\d+)\.{layer}": r"blocks.before_layer_\1."}
    at = r"(?:module\.)?lang_encoder\."
    if row is None:
        return Origin(at, names | others, settings=settings)
    rows = {"tokens.weight": row}
    return Origin(at, names | others, settings=settings, beside={TABLE: "tokens.weight"}, rows=rows)


class GatedCrossAttentionConfig(BorrowingJoinConfig):
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
    feed_forward_width: Width | None = None
    """The same as a number of channels; None is that multiple."""
    activation: Literal["squared_relu", "gelu", "silu"] = "squared_relu"
    """Between its two layers; open_flamingo has `gelu`."""
    gated: bool = False
    """Whether a third layer beside the first, behind the activation, multiplies what that makes (IDEFICS: `silu`)."""
    norm: Literal["layer", "rms"] = "layer"
    """LayerNorm, or RMSNorm as LLaMA's layers have it (IDEFICS)."""
    norm_eps: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    """What is added to the variance in the norms."""
    qk_norm: bool = False
    """Whether queries and keys of each head are normalised."""
    gate: Literal["number", "vector"] = "number"
    """Whether a gate is one number, or one for each channel."""
    token_row: Annotated[int, Field(ge=0)] | None = None
    """Of OpenFlamingo's checkpoint: which row of the LLM's table stands for an image; `modalink import` says it."""

    @model_validator(mode="after")
    def _a_row_of_a_checkpoint(self) -> Self:
        if self.token_row is not None and self.checkpoint is None:
            raise ValueError(f"found token_row {self.token_row} and no checkpoint that holds the row; leave it out")
        return self

    def drawn_anew(self) -> Self:
        return super(GatedCrossAttentionConfig, self.replace(token_row=None)).drawn_anew()

    def tiny(self) -> "GatedCrossAttentionConfig":
        """Small blocks before every second layer at least."""
        small = self.drawn_anew().replace(feed_forward_width=None)
        return small.at_most(every=2, first=1, media_width=32, heads=4, head_width=16)

    def trial(self) -> "GatedCrossAttentionConfig":
        return self.tiny().replace(every=1, first=0, media_width=None)

    @property
    def origins(self) -> tuple[Origin, ...]:  # type: ignore[override]  # a constant of other kinds
        """IDEFICS, and OpenFlamingo with blocks before these layers."""
        return (*_ORIGINS, _open_flamingo(self.first, self.every, self.token_row))

    @property
    def learns(self) -> bool:
        return True

    def sections(self) -> tuple[str, ...]:
        """The tokens that stand for media, and the blocks."""
        return ("tokens", "blocks")

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
        inner, hidden = config.heads * config.head_width, config.feed_forward_width or config.feed_forward * width
        norm = partial(nn.LayerNorm if config.norm == "layer" else nn.RMSNorm, eps=config.norm_eps)
        gates = width if config.gate == "vector" else 1
        self.heads = config.heads
        self.attention_norm = norm(width)
        self.query = nn.Linear(width, inner, bias=False)
        self.key = nn.Linear(config.media_width or width, inner, bias=False)
        self.value = nn.Linear(config.media_width or width, inner, bias=False)
        self.query_norm: nn.Module = norm(config.head_width) if config.qk_norm else nn.Identity()
        self.key_norm: nn.Module = norm(config.head_width) if config.qk_norm else nn.Identity()
        self.out = nn.Linear(inner, width, bias=False)
        self.attention_gate = nn.Parameter(torch.zeros(gates))
        self.feed_forward_norm = norm(width)
        self.up = nn.Linear(width, hidden, bias=False)
        self.gate = nn.Linear(width, hidden, bias=False) if config.gated else None
        self.activation = ACT2FN["relu2" if config.activation == "squared_relu" else config.activation]
        self.down = nn.Linear(hidden, width, bias=False)
        self.feed_forward_gate = nn.Parameter(torch.zeros(gates))

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
        own = own + self._fed_forward(self.feed_forward_norm(own)) * self.feed_forward_gate.tanh()
        return own.to(states.dtype)

    def _fed_forward(self, states: Float[Tensor, "b t d_llm"]) -> Tensor:
        up = self.up(states)
        fed: Tensor = self.down(self.activation(up) if self.gate is None else self.activation(self.gate(states)) * up)
        return fed

    def _read(self, states: Float[Tensor, "b t d_llm"], sight: Sight, number: int) -> Float[Tensor, "b t d_llm"]:
        assert sight.views is not None
        flat = states.flatten(0, 1)
        query = self.query_norm(self._split(self.query(self.attention_norm(sight.runs(flat)))))
        key, value = sight.views.keys_values(number, self._keys_values)
        mask = None if sight.views.there is None else sight.views.there[:, None, None]
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return sight.flat(self.out(attended.transpose(1, 2).flatten(2)), flat).view_as(states)

    def _keys_values(self, media: Float[Tensor, "r m d"]) -> KeysValues:
        media = media.to(self.key.weight.dtype)
        return self.key_norm(self._split(self.key(media))), self._split(self.value(media))

    def _split(self, states: Float[Tensor, "r m inner"]) -> Float[Tensor, "r h m w"]:
        return states.unflatten(-1, (self.heads, -1)).transpose(1, 2)

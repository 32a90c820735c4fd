"""The Q-Former: learned queries read any number of encoder tokens, and become as many prompt tokens.

Sources: BLIP-2 (arXiv 2301.12597) and, with the turn's words, InstructBLIP (arXiv 2305.06500), by transformers' own
blocks; frozen with one trained map in MiniGPT-4 (arXiv 2304.10592), with further queries in VideoChat (arXiv
2305.06355), one for each frame and one over all of them, by `blockwise`, in Video-LLaMA (arXiv 2306.02858). Queries are
drawn as in salesforce/LAVIS, lavis/models/blip2_models/blip2.py.
"""

from collections.abc import Collection
from functools import cache
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from transformers import AutoTokenizer, Blip2QFormerConfig, PreTrainedTokenizerBase

from modalink import hub, tensor_files
from modalink.errors import PartError
from modalink.kinds import Count, Width
from modalink.projectors.inputs._querying import QueryingTransformer, Rows
from modalink.ragged import Layout, Ragged
from modalink.roles import FromCheckpoint, InputProjector, InputProjectorConfig

_NAMES = {
    r"query_tokens$": "queries",
    r"qformer\.embeddings\.layernorm\.": "q_former.blocks.layernorm.",
    r"(qformer\.)?embeddings\.(word|position)_embeddings\.": r"q_former.words.\2_embeddings.",
    r"qformer\.(encoder|layernorm)\.": r"q_former.blocks.\1.",
    r"language_projection\.": "exit.",
}
"""Names in checkpoints of BLIP-2 and InstructBLIP -> names here."""
_DECIDING = {
    "hidden_size": "width",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "cross_attention_frequency": "cross_every",
    "hidden_act": "",
    "layer_norm_eps": "",
}
"""What a checkpoint's configuration must agree on, and the setting that says it here."""
_OF_WORDS = r"^q_former\.(words\.|blocks\.encoder\.layer\.\d+\.(intermediate|output)\.)"


class QFormerConfig(InputProjectorConfig):
    """Settings of the Q-Former; the defaults are those of BLIP-2."""

    kind: Literal["q_former"] = "q_former"
    checkpoint: str | None = None
    """A folder or hub id of BLIP-2 or InstructBLIP whose Q-Former and queries are taken; the sizes here must be its. If
    not set, all is drawn anew."""
    revision: str | None = None
    """Commit or tag of a hub checkpoint."""
    exit: Literal["new", "checkpoint", "none"] = "new"
    """The map to the width of the LLM: drawn anew, the checkpoint's own (for the LLM that it was trained with), or
    none, where a projector of the same width stands behind."""
    queries: Count = 32
    """Learned queries, each of them a prompt token."""
    extra_queries: int = Field(default=0, ge=0, le=1000)
    """Further queries beside those, always drawn anew (VideoChat has 64 beside frozen ones)."""
    width: Width = 768
    """Width inside; a multiple of `heads`."""
    layers: Count = 12
    heads: Count = 12
    feed_forward: Width = 3072
    """Width of the feed-forward layers."""
    cross_every: Count = 2
    """Queries read the encoder's tokens in the first of so many blocks."""
    instruction: bool = False
    """Whether the words of the turn in which a medium stands go through the blocks, too (InstructBLIP)."""
    tokenizer: str | None = None
    """A folder or hub id whose tokenizer reads those words, such as `bert-base-uncased`; by default that of an
    InstructBLIP in `checkpoint`, else the LLM's."""
    text_tokens: int = Field(default=128, ge=1, le=512)
    """The most tokens of those words that are read."""
    vocabulary: int = Field(default=30523, ge=2, le=2**20)
    """Rows of the table of words: those of BERT, and one that begins a text to be written."""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)

    @property
    def reads_text(self) -> bool:  # type: ignore[override]  # a constant of other kinds
        """Whether the turn's words go in."""
        return self.instruction

    def layout(self, item: Layout) -> Layout:
        """A prompt token for each query."""
        times_s = item.times_s if item.times_s is not None and len(item.times_s) == 1 else None
        return Layout(item.units, (self.queries + self.extra_queries,), times_s=times_s)

    def tiny(self) -> "QFormerConfig":
        """The same, drawn anew, narrow and of two blocks, reading the LLM's own tokens."""
        changes: dict[str, Any] = {"checkpoint": None, "revision": None, "tokenizer": None}
        if self.exit == "checkpoint":
            changes["exit"] = "new"
        if self.width > 128:
            changes |= {"width": 128, "heads": 4}
        limits = {"layers": 2, "feed_forward": 256, "vocabulary": 1024}
        return self.replace(**changes).at_most(**limits)

    def build(self, *, dim_in: int, dim_out: int, example: Layout) -> "QFormer":
        """A new projector between these widths.

        Raises:
            PartError: The width cannot be divided among the heads, is not the LLM's though there is no exit, or a
                checkpoint's exit is asked for without a checkpoint.
        """
        if self.width % self.heads:
            raise PartError(f"q_former: found width {self.width}, needed a multiple of heads = {self.heads}")
        if self.exit == "none" and self.width != dim_out:
            raise PartError(f"q_former: found exit: none and width {self.width}, needed {dim_out}; set exit: new")
        if self.exit == "checkpoint" and self.checkpoint is None:
            raise PartError("q_former: found exit: checkpoint and no checkpoint; set one, or exit: new")
        return QFormer(self, dim_in, dim_out)

    def architecture(self, dim_in: int) -> Blip2QFormerConfig:
        """The configuration of transformers' blocks."""
        return Blip2QFormerConfig(
            vocab_size=self.vocabulary,
            hidden_size=self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=self.feed_forward,
            hidden_dropout_prob=self.dropout,
            attention_probs_dropout_prob=self.dropout,
            cross_attention_frequency=self.cross_every,
            encoder_hidden_size=dim_in,
            use_qformer_text_input=self.instruction,
        )

    def sections(self) -> tuple[str, ...]:
        """The queries, the blocks with their words, the map behind them."""
        there = {
            "queries": True,
            "extra_queries": self.extra_queries > 0,
            "q_former": True,
            "exit": self.exit != "none",
        }
        return tuple(name for name, is_there in there.items() if is_there)

    def checkpoints(self) -> tuple[tuple[str, str | None], ...]:
        """The checkpoint, if there is one."""
        return () if self.checkpoint is None else ((self.checkpoint, self.revision),)

    def borrowed(self) -> dict[str, FromCheckpoint]:
        """All that a checkpoint has, of its exit only if that is wanted."""
        if self.checkpoint is None:
            return {}
        return dict.fromkeys(("queries", "q_former", *["exit"] * (self.exit == "checkpoint")), self)

    def borrow(self, projector: InputProjector, sections: Collection[str]) -> None:
        """Put the checkpoint's weights into the projector.

        Raises:
            PartError: The checkpoint is no BLIP-2 or InstructBLIP, of other sizes, or lacks what is wanted.
        """
        assert self.checkpoint is not None
        assert isinstance(projector, QFormer)
        self._check_architecture(projector)
        where = f"{self.checkpoint}: the Q-Former"
        held = hub.tensors(self.checkpoint, names=_NAMES, revision=self.revision)
        held = {name: tensor for name, tensor in held.items() if name.partition(".")[0] in sections}
        own = {n: p for n, p in projector.named_parameters() if n.partition(".")[0] in sections}
        unused = () if self.instruction else (_OF_WORDS,)
        hub.refuse(where, QFormer, "lacks parameters that are needed", own.keys() - held.keys(), ())
        hub.refuse(where, QFormer, "holds tensors that are not here", held.keys() - own.keys(), unused)
        # Theirs have an axis for the batch.
        held = {n: tensor[0] if n == "queries" else tensor for n, tensor in held.items() if n in own}
        tensor_files.refuse_odd(held, own, hub.locate(self.checkpoint, self.revision), PartError)
        with torch.no_grad():
            for name, tensor in held.items():
                own[name].copy_(tensor)

    def _check_architecture(self, projector: "QFormer") -> None:
        """Demand what decides a result and no shape: heads, which blocks read the encoder, ..."""
        found: Any = getattr(hub.architecture(self.checkpoint or "", self.revision), "qformer_config", None)
        if found is None:
            raise PartError(
                f"{self.checkpoint}: its configuration tells of no Q-Former, needed a BLIP-2 or InstructBLIP"
            )
        needed = projector.q_former.blocks.config
        for name, setting in _DECIDING.items():
            if (theirs := getattr(found, name)) != (ours := getattr(needed, name)):
                advice = f"; set {setting}: {theirs}" if setting else ""
                raise PartError(f"{self.checkpoint}: its Q-Former has {name} {theirs}, needed {ours}{advice}")

    def text_ids(self, text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
        """The first tokens of a turn's words.

        Raises:
            PartError: The table of words has no row for one of them.
        """
        own = self._tokenizer() or tokenizer
        ids: list[int] = own(text, add_special_tokens=own is not tokenizer).input_ids[: self.text_tokens]
        if ids and (largest := max(ids)) >= self.vocabulary - 1:
            have = f"have {self.vocabulary - 1} words"
            raise PartError(f"q_former: found token {largest} in a text, {have}; raise vocabulary")
        return ids

    def _tokenizer(self) -> PreTrainedTokenizerBase | None:
        if self.tokenizer is not None:
            return _read_tokenizer(self.tokenizer, None)
        return None if self.checkpoint is None else _read_tokenizer(self.checkpoint, self.revision, "qformer_tokenizer")


class QFormer(InputProjector):
    """Queries, blocks, a map."""

    def __init__(self, config: QFormerConfig, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.config = config
        self.queries = nn.Parameter(torch.randn(config.queries, config.width) * 0.02)
        if config.extra_queries:
            self.extra_queries = nn.Parameter(torch.randn(config.extra_queries, config.width) * 0.02)
        self.q_former = QueryingTransformer(config.architecture(dim_in))
        self.exit = nn.Linear(config.width, dim_out) if config.exit != "none" else nn.Identity()
        last = f"q_former.blocks.encoder.layer.{config.layers - 1}."
        # What words become in the end is read by nobody.
        self.unread = frozenset(
            name for name, _ in self.named_parameters() if name.startswith((f"{last}intermediate.", f"{last}output."))
        )

    @property
    def all_queries(self) -> Tensor:
        """The queries, and the further ones behind them, `[n d]`."""
        if not self.config.extra_queries:
            return self.queries
        return torch.cat([self.queries, self.extra_queries])

    def forward(self, features: Ragged, texts: Ragged | None = None) -> Ragged:
        """Project the features of items."""
        queries = self.all_queries
        words = None if texts is None or not self.config.instruction else Rows.of(texts)
        states = self.q_former(queries, Rows.of(features), words)[:, : len(queries)]
        return features.with_values(self.exit(states).flatten(0, 1), [self.config.layout(i) for i in features.layouts])


@cache
def _read_tokenizer(reference: str, revision: str | None, folder: str = "") -> PreTrainedTokenizerBase | None:
    """The tokenizer of a checkpoint; None where the folder in it that should hold it is not there."""
    place = hub.locate(reference, revision, weights=False) / folder
    if not place.is_dir():
        return None
    found: PreTrainedTokenizerBase = hub.read(AutoTokenizer, place)
    return found

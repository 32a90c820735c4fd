"""The Q-Former: learned queries read any number of encoder tokens, and become as many prompt tokens.

Sources: BLIP-2 (arXiv 2301.12597) and, with the turn's words, InstructBLIP (arXiv 2305.06500), by transformers' own
blocks; frozen with one trained map in MiniGPT-4 (arXiv 2304.10592), with further queries in VideoChat (arXiv
2305.06355), one for each frame and one over all of them, by `blockwise`, in Video-LLaMA (arXiv 2306.02858). Queries are
drawn as in salesforce/LAVIS, lavis/models/blip2_models/blip2.py.
"""

import re
from collections.abc import Collection
from functools import cache
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from transformers import AutoTokenizer, Blip2QFormerConfig, PreTrainedTokenizerBase

from modalink import hub, tensor_files
from modalink.devices import to_device
from modalink.errors import PartError
from modalink.kinds import Count, Width
from modalink.projectors.inputs import _released_q_formers
from modalink.projectors.inputs._captions import OF_WORDS, CaptionHeads, unread
from modalink.projectors.inputs._querying import QueryingTransformer, Rows
from modalink.ragged import Layout, Ragged
from modalink.roles import Compared, FromCheckpoint, InputProjector, InputProjectorConfig


class QFormerConfig(InputProjectorConfig):
    """Settings of the Q-Former; the defaults are those of BLIP-2."""

    kind: Literal["q_former"] = "q_former"
    checkpoint: str | None = None
    """A folder or hub id of BLIP-2 or InstructBLIP whose Q-Former and queries are taken, or a folder with a file of its
    authors', of LAVIS or Video-LLaMA; the sizes here must be its. If not set, all is drawn anew."""
    revision: str | None = None
    """Commit or tag of a hub checkpoint."""
    prefix: str | None = None
    """How its names begin in a file of the authors: `video_` and `audio_` in Video-LLaMA; `image_`, `video_`, `audio_`
    and `pc_` in X-InstructBLIP."""
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
    captions: bool = False
    """Whether it can learn from captions, by the objectives `itc`, `itm` and `itg` (BLIP-2's first stage)."""
    caption_tokens: int = Field(default=32, ge=2, le=512)
    """The most tokens of a caption that are read."""
    contrast: Width = 256
    """Width of the space in which media and captions are compared."""
    tokenizer: str | None = None
    """A folder or hub id whose tokenizer reads words and captions, such as `bert-base-uncased`; by default that of an
    InstructBLIP in `checkpoint`, else the LLM's."""
    text_tokens: int = Field(default=128, ge=1, le=512)
    """The most tokens of those words that are read."""
    vocabulary: int = Field(default=30523, ge=2, le=2**20)
    """Rows of the table of words: those of BERT, and one that begins a text to be written."""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)

    @property
    def learns_captions(self) -> bool:  # type: ignore[override]  # a constant of other kinds
        """Whether it has what captions teach."""
        return self.captions

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
        changes: dict[str, Any] = dict.fromkeys(("checkpoint", "revision", "prefix", "tokenizer"))
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
        if self.prefix is not None and self.checkpoint is None:
            raise PartError("q_former: found prefix and no checkpoint; set one, or leave prefix out")
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
            use_qformer_text_input=self.instruction or self.captions,
        )

    def sections(self) -> tuple[str, ...]:
        """The queries, the blocks with their words, the map behind them, what captions are learned by."""
        there = {
            "queries": True,
            "extra_queries": self.extra_queries > 0,
            "q_former": True,
            "exit": self.exit != "none",
            "heads": self.captions,
        }
        return tuple(name for name, is_there in there.items() if is_there)

    def checkpoints(self) -> tuple[tuple[str, str | None], ...]:
        """The checkpoint, if there is one."""
        return () if self.checkpoint is None else ((self.checkpoint, self.revision),)

    def pieces(self) -> tuple[str, ...]:
        """Patterns of all names that are known."""
        return _released_q_formers.names(self.prefix)

    def borrowed(self) -> dict[str, FromCheckpoint]:
        """All that a checkpoint has, of its exit only if that is wanted."""
        if self.checkpoint is None:
            return {}
        return dict.fromkeys(("queries", "q_former", *["exit"] * (self.exit == "checkpoint")), self)

    def borrow(self, projector: InputProjector, sections: Collection[str]) -> None:
        """Put the checkpoint's weights into the projector.

        Raises:
            PartError: The checkpoint holds no Q-Former, one of other sizes, or lacks what is wanted.
        """
        assert self.checkpoint is not None
        assert isinstance(projector, QFormer)
        where = f"{self.checkpoint}: the Q-Former"
        held = _released_q_formers.held(self.checkpoint, self.revision, self.prefix, projector.q_former.blocks.config)
        held = {name: tensor for name, tensor in held.items() if name.partition(".")[0] in sections}
        own = {n: p for n, p in projector.named_parameters() if n.partition(".")[0] in sections}
        unused = () if self.instruction or self.captions else (OF_WORDS,)
        hub.refuse(where, QFormer, "lacks parameters that are needed", own.keys() - held.keys(), ())
        hub.refuse(where, QFormer, "holds tensors that are not here", held.keys() - own.keys(), unused)
        # Theirs have an axis for the batch.
        held = {n: tensor[0] if n == "queries" else tensor for n, tensor in held.items() if n in own}
        tensor_files.fill(own, held, hub.locate(self.checkpoint, self.revision, weights=False), PartError)

    def text_ids(self, text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
        """The first tokens of a turn's words.

        Raises:
            PartError: The table of words has no row for one of them.
        """
        own = self._tokenizer() or tokenizer
        ids: list[int] = own(text, add_special_tokens=own is not tokenizer).input_ids
        return self._checked(ids[: self.text_tokens])

    def caption_ids(self, text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
        """The first tokens of a caption between one that stands for the whole and one that ends it, as BERT's.

        Raises:
            PartError: The table of words has no row for one of them.
        """
        own: Any = self._tokenizer() or tokenizer
        ids: list[int] = own(text, add_special_tokens=False).input_ids
        marks = [(own.cls_token_id, own.bos_token_id, own.eos_token_id), (own.sep_token_id, own.eos_token_id)]
        begin, end = (next((mark for mark in found if mark is not None), self.vocabulary - 1) for found in marks)
        return [begin, *self._checked(ids[: self.caption_tokens - 2]), end]

    def _checked(self, ids: list[int]) -> list[int]:
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
        if config.captions:
            self.heads = CaptionHeads(config.width, config.contrast, config.vocabulary)

    def unread_for(self, needs: Collection[str]) -> frozenset[str]:
        """What no prompt token depends on, or none of the objectives about captions that are there."""
        patterns = unread(layers=self.config.layers, instruction=self.config.instruction)
        asked = {need if need in patterns else "prompt_tokens" for need in needs} or {"prompt_tokens"}
        names = [name for name, _ in self.named_parameters()]
        return frozenset(name for name in names if all(re.match(patterns[need], name) for need in asked))

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

    def compared(self, features: Ragged, words: Ragged) -> Compared:
        """See `LearnsCaptions`."""
        queries = self.q_former(self.all_queries, Rows.of(features))
        texts = self.q_former(None, words=Rows.of(words))[:, 0]
        return self.heads.compared(queries, texts)

    def matches(
        self, features: Ragged, words: Ragged, items: Int[Tensor, " k"], texts: Int[Tensor, " k"]
    ) -> Float[Tensor, "k 2"]:
        """See `LearnsCaptions`; the mean of what all queries say."""
        queries = self.all_queries
        states = self.q_former(queries, Rows.of(features).take(items), Rows.of(words).take(texts))
        logits: Tensor = self.heads.match(states[:, : len(queries)]).mean(dim=1)
        return logits

    def written(self, features: Ragged, words: Ragged) -> Float[Tensor, "m v"]:
        """See `LearnsCaptions`; the last row of the table of words begins each text."""
        queries, given, table = self.all_queries, Rows.of(words), self.q_former.words
        assert table is not None
        first = torch.full_like(given.values[:, :1], self.config.vocabulary - 1)
        begun = given._replace(values=torch.cat([first, given.values[:, 1:]], dim=1))
        states = self.q_former(queries, Rows.of(features), begun, "earlier")[:, len(queries) :]
        places = [number * states.shape[1] + i for number, n in enumerate(words.lengths) for i in range(n - 1)]
        predicting = states.flatten(0, 1)[to_device(torch.tensor(places), states.device)]
        logits: Tensor = self.heads.written(predicting, table.word_embeddings.weight)
        return logits


@cache
def _read_tokenizer(reference: str, revision: str | None, folder: str = "") -> PreTrainedTokenizerBase | None:
    """The tokenizer of a checkpoint; None where the folder in it that should hold it is not there."""
    place = hub.locate(reference, revision, weights=False) / folder
    if not place.is_dir():
        return None
    found: PreTrainedTokenizerBase = hub.read(AutoTokenizer, place)
    return found

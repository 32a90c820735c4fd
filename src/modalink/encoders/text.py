"""Text models as encoders of sentences: BERT and its kin, one vector a sentence (arXiv 1810.04805; SimCSE, 2104.08821).

P-Former's sentence encoder is BERT's class vector; a quarter of its input is masked while it learns (arXiv 2307.07063;
yiren-jian/BLIText, lavis/models/blip2_models/pformer_opt.py).
"""

import inspect
from copy import copy
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor
from transformers import MODEL_MAPPING, AutoTokenizer, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from modalink import hub
from modalink.devices import to_device
from modalink.encoders import _towers
from modalink.errors import PartError
from modalink.modalities.sentence import Sentence
from modalink.ragged import Layout, Ragged
from modalink.roles import Encoder, EncoderConfig, MediumHandle, Preprocessor

_HEADS = (r"^lm_head\.", r"^cls\.", r"(^|\.)pooler\.", r"embeddings\.position_ids$")
"""What models hold beside their blocks."""
_SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}


class TextModelConfig(EncoderConfig):
    """Settings of a text model that reads sentences; the checkpoint brings its tokenizer."""

    kind: Literal["text"] = "text"
    pool: Literal["first", "last", "mean"] = "first"
    """Which of the last states stands for the sentence: `first` is BERT's class vector, `last` for causal models."""
    max_tokens: int = Field(default=32, ge=2, le=512)
    """The most tokens of a sentence that are read, those that begin and end it among them."""
    mask: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the tokens that training replaces by the mask token, drawn anew each time; the first never."""

    def reads(self) -> frozenset[str]:
        """Sentences."""
        return frozenset({"sentence"})

    def tiny(self) -> "TextModelConfig":
        """The zoo's language model, which is causal and has no mask token."""
        return self.from_zoo("llm", pool="last", mask=0.0)

    def build(self, *, weights: bool = True) -> "TextEncoder":
        """The encoder, with the checkpoint's weights or only its architecture.

        Raises:
            PartError: The checkpoint is no text model, or its weights do not fit.
        """
        kind: Any = self._kind()
        loading: dict[str, Any] = {"allow_unexpected": _HEADS}
        if weights and "add_pooling_layer" in inspect.signature(kind.__init__).parameters:
            loading["add_pooling_layer"] = False
        tower = _towers.own_tower(self, kind, self._architecture(), weights=weights, **loading)
        return TextEncoder(tower, self.pool)

    def describe(self) -> dict[str, Any]:
        """The architecture, and which state is taken."""
        return {"pool": self.pool, "architecture": self._architecture().to_dict()}

    def miniature(self) -> "TextEncoder":
        """The same class with two narrow blocks."""
        config = self._architecture()
        known = {name: value for name, value in _SMALL.items() if hasattr(config, name)}
        small = type(config).from_dict(config.to_dict() | known | {"num_key_value_heads": 4, "head_dim": 16})
        return TextEncoder(self._kind()(small), self.pool)

    def typical(self) -> Layout:
        """Eight tokens."""
        return Layout.of_units(8)

    def preprocessor(self) -> "TextPreprocessor":
        """The checkpoint's tokenizer.

        Raises:
            PartError: There is none, or it has no mask token and one is needed.
        """
        folder = hub.locate(self.checkpoint, self.revision, weights=False)
        tokenizer: PreTrainedTokenizerBase = hub.read(AutoTokenizer, folder)
        if self.mask and tokenizer.mask_token_id is None:
            raise PartError(f"{self.checkpoint}: found mask: {self.mask} and a tokenizer without a mask token; set 0")
        return TextPreprocessor(tokenizer, self)

    def _architecture(self) -> PreTrainedConfig:
        return hub.architecture(self.checkpoint, self.revision).get_text_config()

    def _kind(self) -> type[PreTrainedModel]:
        config = self._architecture()
        if type(config) not in MODEL_MAPPING or not hasattr(config, "vocab_size"):
            raise PartError(
                f"{self.checkpoint}: found {type(config).__name__}, needed the configuration of a text model"
            )
        kind: type[PreTrainedModel] = MODEL_MAPPING[type(config)]
        return kind


class TextPreprocessor(Preprocessor):
    """Sentences to token ids, one unit each; as float32, as units are, which holds numbers below 2^24 exactly.

    Args:
        tokenizer: Of the checkpoint.
        config: What is read of a sentence.
        seed: Decides which tokens are masked; None: none is.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, config: TextModelConfig, seed: int | None = None) -> None:
        self.tokenizer, self.config, self.seed = tokenizer, config, seed

    def layout(self, medium: Any) -> Layout:
        """A unit for each token."""
        return Layout.of_units(len(self._ids(medium.read() if isinstance(medium, MediumHandle) else medium)))

    def __call__(self, medium: Sentence) -> Float[Tensor, " u"]:
        """The token ids, some of them masked where there is a seed."""
        ids = torch.tensor(self._ids(medium), dtype=torch.float32)
        if self.seed is None:
            return ids
        drawn = torch.rand(len(ids), generator=torch.Generator().manual_seed(self.seed)) < self.config.mask
        drawn[0] = False
        return ids.masked_fill(drawn, self.tokenizer.mask_token_id)

    def seeded(self, seed: int) -> "TextPreprocessor":
        """The same with the masked tokens fixed; itself where none is."""
        if not self.config.mask:
            return self
        made = copy(self)
        made.seed = seed
        return made

    def to_dict(self) -> dict[str, Any]:
        """Which tokenizer, and what is read of a sentence."""
        kept = {"max_tokens": self.config.max_tokens, "mask": self.config.mask}
        return {"kind": "text", "tokenizer": [self.config.checkpoint, self.config.revision], **kept}

    def _ids(self, sentence: Sentence) -> list[int]:
        ids: list[int] = self.tokenizer(
            sentence.text,
            truncation=True,
            max_length=self.config.max_tokens,
            split_special_tokens=True,  # what a sentence spells out does not act
        ).input_ids
        return ids or [self.tokenizer.eos_token_id or 0]


class TextEncoder(Encoder):
    """Token ids to one vector a sentence.

    Args:
        tower: A text model of transformers.
        pool: Which of its last states is taken.
    """

    def __init__(self, tower: PreTrainedModel, pool: Literal["first", "last", "mean"]) -> None:
        super().__init__()
        self.tower, self.pool = tower, pool
        if getattr(tower, "pooler", None) is not None:
            tower.pooler = None
        self.dim: int = tower.config.hidden_size
        self.unit_shape = ()

    def layout(self, item: Layout) -> Layout:
        """One token a sentence."""
        return Layout(item.units, (1,))

    def forward(self, items: Ragged) -> Ragged:
        """Encode sentences, padded to the longest."""
        rows, there = (items.stack(), None) if items.is_even else items.padded()
        ids = rows.long().clamp(0, self.tower.config.vocab_size - 1)
        mask = torch.ones_like(ids) if there is None else there.long()
        states: Float[Tensor, "i n d"] = self.tower(input_ids=ids, attention_mask=mask).last_hidden_state
        return items.with_values(self._pooled(states, mask), [self.layout(layout) for layout in items.layouts])

    def _pooled(self, states: Float[Tensor, "i n d"], mask: Int[Tensor, "i n"]) -> Float[Tensor, "i d"]:
        if self.pool == "first":
            return states[:, 0]
        if self.pool == "last":
            rows = to_device(torch.arange(len(states)), states.device)
            return states[rows, mask.sum(dim=1) - 1]
        there = mask[..., None].to(states.dtype)
        return (states * there).sum(dim=1) / there.sum(dim=1)

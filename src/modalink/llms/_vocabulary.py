"""An LLM that somebody left as it was, except for its vocabulary: tokens that were added, in a table of its own."""

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from transformers import AddedToken, PreTrainedConfig, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from modalink import hub
from modalink.errors import PartError
from modalink.kinds import Settings

_AT = r"(?:module\.)?lang_encoder\."
_NAMES = {
    _AT + r"(?:\w+\.)+(?:embed_tokens|embed_in|wte)\.weight$": "table",
    _AT + r"(?:lm_head|embed_out)\.weight$": "head",
}
"""Names in OpenFlamingo's checkpoints -> which rows of the LLM they are."""
TABLES = tuple(_NAMES)
"""Patterns of those names."""
TABLE = TABLES[0]
"""That of the table of embeddings."""
_EVERY = 16
_FAR = 0.5
"""How far rows may be from the LLM's own, as a share of their size, so that they can be trained on from them."""


class Vocabulary(Settings):
    """Tokens that a checkpoint adds to an LLM, and the embeddings that it has for all of them (OpenFlamingo)."""

    checkpoint: str
    """A folder or hub id with the table of embeddings."""
    revision: str | None = None
    """Commit or tag of a hub checkpoint."""
    tokens: Annotated[tuple[str, ...], Field(min_length=1)]
    """Special tokens that are added to the LLM's tokenizer, in this order."""
    rows: Annotated[int, Field(ge=1, le=2**24)]
    """Rows of that table; the LLM is cut, or made longer, to as many."""

    def add_to(self, tokenizer: Tokenizer) -> None:
        """Put the tokens behind those of a tokenizer, in place.

        Raises:
            PartError: The table has no rows for them.
        """
        tokenizer.add_tokens([AddedToken(t, special=True, normalized=False) for t in self.tokens], special_tokens=True)
        last = max(tokenizer.convert_tokens_to_ids(list(self.tokens)))
        if last >= self.rows:
            raise PartError(f"llm.vocabulary: found rows: {self.rows}, needed more: {self.tokens[-1]} is token {last}")

    def described(self, config: PreTrainedConfig) -> PreTrainedConfig:
        """The configuration of an LLM once it has the table; it is changed in place."""
        config.get_text_config(decoder=True).vocab_size = self.rows
        return config

    @torch.no_grad()
    def put_into(self, llm: PreTrainedModel, where: str) -> None:
        """Give an LLM the table and, where the checkpoint holds one, the head.

        Without a head in the checkpoint, of an LLM whose head is no table, tokens that are new get the mean of its
        rows: the authors draw them anew at each start.

        Args:
            llm: The LLM, changed in place.
            where: What errors call it.

        Raises:
            PartError: The checkpoint holds no table of this LLM.
        """
        held = hub.tensors(self.checkpoint, names=_NAMES, revision=self.revision)
        table, head = llm.get_input_embeddings(), llm.get_output_embeddings()
        tied = head.weight is table.weight
        self._check(held, table.weight, tied, where)
        table.weight = _frozen(held["table"], table.weight)
        if tied:
            head.weight = table.weight
        else:
            head.weight = _frozen(held.get("head", _resized(head.weight, self.rows)), head.weight)
        if getattr(head, "bias", None) is not None:
            head.bias = _frozen(_resized(head.bias, self.rows), head.bias)
        table.num_embeddings = head.out_features = self.rows
        self.described(llm.config)
        if hasattr(llm, "vocab_size"):
            llm.vocab_size = self.rows

    def _check(self, held: dict[str, Tensor], own: Tensor, tied: bool, where: str) -> None:
        """Refuse what is no table of the LLM."""
        needed = (self.rows, own.shape[1])
        if "table" not in held:
            raise PartError(f"llm.vocabulary {self.checkpoint}: found no table of embeddings, needed one of {needed}")
        for name, tensor in held.items():
            if tuple(tensor.shape) != needed:
                raise PartError(
                    f"llm.vocabulary {self.checkpoint}: found a {name} of {tuple(tensor.shape)}, needed {needed} for "
                    f"{where}; give the LLM that the checkpoint was trained in"
                )
        if tied and "head" in held and not torch.equal(held["head"], held["table"]):
            raise PartError(
                f"llm.vocabulary {self.checkpoint}: found a head that is not its table of embeddings, needed one: that "
                f"of {where} is its table"
            )
        shared = min(len(own), self.rows - len(self.tokens))
        before, after = own[:shared:_EVERY].float(), held["table"][:shared:_EVERY].float()
        if not (after - before).norm() <= _FAR * before.norm():
            raise PartError(
                f"llm.vocabulary {self.checkpoint}: its embeddings are not those of {where}; give the LLM that the "
                "checkpoint was trained in"
            )


def _frozen(tensor: Tensor, like: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.to(like, copy=True), requires_grad=False)


def _resized(rows: Tensor, count: int) -> Tensor:
    """As many of some rows, or all of them and their mean as often as it takes."""
    more: Any = rows.float().mean(0, keepdim=True).to(rows)
    return torch.cat([rows[:count], *[more] * (count - len(rows))])

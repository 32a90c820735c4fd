"""New vocabulary rows that learn alone: the LLM's own tables stay untouched, so that they can be saved by reference."""

from collections.abc import Collection, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from modalink.errors import PartError


class NewTokenEmbedding(nn.Module):
    """An embedding whose given ids read their own trainable rows, and whose other ids read the frozen table.

    Args:
        base: The LLM's embedding.
        ids: Token ids of the new rows.
        rows: Initial values of the new rows, one an id.
        read_as: Ids that read the row of another id, in the place of their own.
    """

    ids: Tensor
    order: Tensor

    def __init__(
        self,
        base: nn.Embedding,
        ids: list[int],
        rows: Float[Tensor, "k d_llm"],
        read_as: Mapping[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.base = base
        self.new_rows = nn.Parameter(rows)
        self.register_buffer("ids", torch.tensor(ids, device=rows.device), persistent=False)
        order = [ids.index((read_as or {}).get(token, token)) for token in ids]
        self.register_buffer("order", torch.tensor(order, device=rows.device), persistent=False)
        self.num_embeddings = max(base.num_embeddings, *(i + 1 for i in ids))
        self.embedding_dim = base.embedding_dim

    @property
    def weight(self) -> Float[Tensor, "v d_llm"]:
        """The whole table, made on demand."""
        return _with_rows(self.base.weight, self.ids, self.new_rows[self.order], self.num_embeddings)

    def forward(self, input_ids: Int[Tensor, "..."]) -> Float[Tensor, "... d_llm"]:
        """Embed token ids; an id in neither table (a placeholder of media) reads the last frozen row."""
        embeds = self.base(input_ids.clamp(max=self.base.num_embeddings - 1))
        match = input_ids[..., None] == self.ids
        new = functional.embedding(self.order[match.int().argmax(-1)], self.new_rows).to(embeds.dtype)
        return torch.where(match.any(-1)[..., None], new, embeds)


class NewTokenHead(nn.Module):
    """A language model head whose given ids have their own trainable rows.

    Args:
        base: The LLM's head, without bias or with.
        ids: Token ids of the new rows.
        rows: Initial values of the new rows, one an id.
    """

    ids: Tensor

    def __init__(self, base: nn.Linear, ids: list[int], rows: Float[Tensor, "k d_llm"]) -> None:
        super().__init__()
        self.base = base
        self.new_rows = nn.Parameter(rows)
        self.register_buffer("ids", torch.tensor(ids, device=rows.device), persistent=False)
        self.in_features = base.in_features
        self.out_features = max(base.out_features, *(i + 1 for i in ids))

    @property
    def weight(self) -> Float[Tensor, "v d_llm"]:
        """The whole head, made on demand."""
        return _with_rows(self.base.weight, self.ids, self.new_rows, self.out_features)

    @property
    def bias(self) -> Tensor | None:
        """The frozen head's bias, zero for new rows."""
        bias: Tensor | None = self.base.bias
        return None if bias is None else functional.pad(bias, (0, self.out_features - self.base.out_features))

    def unread_for(self, needs: Collection[str]) -> frozenset[str]:
        """The new rows, where a stage's objectives ask for nothing that the LLM says; as of an `InputProjector`."""
        return frozenset() if not needs or {"logits", "logprobs"} & {*needs} else frozenset({"new_rows"})

    def forward(self, states: Float[Tensor, "... d_llm"]) -> Float[Tensor, "... v"]:
        """Logits over the frozen vocabulary and the new rows."""
        logits = self.base(states)
        new = functional.linear(states, self.new_rows.to(states.dtype)).to(logits.dtype)
        logits = functional.pad(logits, (0, self.out_features - self.base.out_features))
        return logits.index_copy(-1, self.ids, new)


def add_new_tokens(
    llm: PreTrainedModel,
    ids: list[int],
    tokens: int,
    *,
    like_end: Collection[int] = (),
    read_as: Mapping[int, int] | None = None,
) -> None:
    """Give an LLM trainable rows for new tokens, in place, in its input embedding and its head.

    The rows start as the mean of the frozen rows, so that at first a new token is as likely as an average one.

    Args:
        llm: A causal LM or an encoder-decoder.
        ids: Ids of the tokens that the LLM reads and writes from now on.
        tokens: Size of the vocabulary that the logits cover afterwards: the largest id + 1, or the LLM's own if larger.
        like_end: Ids whose embeddings start around that of the end-of-sequence token instead: at the end of a reply
            many an LLM has gathered what it said.
        read_as: Ids whose input embedding is that of another new id; each is written by a row of its own.

    Raises:
        PartError: Such ids are given, and the LLM names no end-of-sequence token.
    """
    embedding, head = llm.get_input_embeddings(), llm.get_output_embeddings()
    tied = head.weight is embedding.weight
    rows = _mean_rows(embedding.weight, len(ids))
    if chosen := [place for place, token in enumerate(ids) if token in like_end]:
        rows[chosen] = _rows_like_end(llm, embedding.weight, len(chosen))
    llm.set_input_embeddings(NewTokenEmbedding(embedding, ids, rows, read_as))
    llm.set_output_embeddings(NewTokenHead(head, ids, _mean_rows(head.weight, len(ids))))
    if hasattr(llm, "_resize_final_logits_bias"):  # Bart and its kin add a bias beside the head
        llm._resize_final_logits_bias(tokens)
    llm.config.get_text_config(decoder=True).vocab_size = tokens
    if hasattr(llm, "vocab_size"):
        llm.vocab_size = tokens
    # The frozen tables moved one level down: what ties them again on load or `tie_weights` must follow.
    llm.all_tied_weights_keys = {
        _moved(k): _moved(v) for k, v in getattr(llm, "all_tied_weights_keys", {}).items() if tied
    }
    llm._tied_weights_keys = dict(llm.all_tied_weights_keys)


def _mean_rows(table: Float[Tensor, "v d"], count: int) -> Float[Tensor, "k d"]:
    mean = table.detach().float().mean(0)
    return mean.expand(count, -1).clone()


def _rows_like_end(llm: PreTrainedModel, table: Float[Tensor, "v d"], count: int) -> Float[Tensor, "k d"]:
    """Rows around the end token's, half a standard deviation of the table apart, so that no two ask for the same."""
    end = llm.config.get_text_config(decoder=True).eos_token_id
    end = end[0] if isinstance(end, list) else end
    if end is None:
        raise PartError("found no end-of-sequence token in the LLM's config, needed one for signal_start: end")
    frozen = table.detach().float()
    return frozen[end] + 0.5 * frozen.std(0) * torch.randn(count, table.shape[1], device=table.device)


def _with_rows(
    table: Float[Tensor, "v d"], ids: Int[Tensor, " k"], rows: Float[Tensor, "k d"], size: int
) -> Float[Tensor, "w d"]:
    return functional.pad(table, (0, 0, 0, size - table.shape[0])).index_copy(0, ids, rows.to(table.dtype))


def _moved(key: str) -> str:
    return key.removesuffix("weight") + "base.weight"

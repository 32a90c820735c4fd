"""What objectives about replies that the policy drew share: numbers of their tokens, replies in rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from modalink.model.batch import Batch
from modalink.model.sampled import Sampled
from modalink.model.sides import SideTokens, spans


@dataclass(frozen=True)
class Drawn:
    """The replies of a batch that were drawn.

    Args:
        replies: What is known of each.
        spans: Where its labelled tokens begin and end among those of the batch.
        like: A tensor whose type and device numbers get.
    """

    replies: Sequence[Sampled]
    spans: Sequence[tuple[int, int]]
    like: Tensor

    @classmethod
    def of(cls, batch: Batch, like: Tensor) -> "Drawn":
        """Those of a batch; what stands beside them, as fillers do, is left out."""
        found = [(side.sampled, at) for side, at in zip(batch.sides, spans(batch.sides), strict=True) if side.sampled]
        return cls([sampled for sampled, _ in found], [at for _, at in found], like)

    def rows(self, values: Float[Tensor, " m"]) -> Float[Tensor, "b t"]:
        """Numbers of the batch's labelled tokens in rows, 0 behind the end of a reply."""
        return pad_sequence([values[start:end] for start, end in self.spans], batch_first=True)

    def known(self, name: str) -> Float[Tensor, "b t"]:
        """What is known of each token: the field of `Sampled` of that name."""
        rows: list[tuple[float, ...]] = [getattr(reply, name) for reply in self.replies]
        tensors = [torch.tensor(row, dtype=self.like.dtype, device=self.like.device) for row in rows]
        return pad_sequence(tensors, batch_first=True)

    @property
    def mask(self) -> Float[Tensor, "b t"]:
        """1 for tokens that count."""
        counts = zip(self.replies, self.spans, strict=True)
        rows = [self.like.new_full((end - start,), float(reply.counts)) for reply, (start, end) in counts]
        return pad_sequence(rows, batch_first=True)


def counted_tokens(sides: Sequence[SideTokens]) -> int:
    """How many tokens of replies that were drawn count."""
    return sum(len(side.tokens) for side in sides if side.sampled is not None and side.sampled.counts)


def share(chosen: Tensor, mask: Float[Tensor, "b t"]) -> Float[Tensor, "2"]:
    """Of the tokens that count those that are chosen, and all of them: what `ObjectiveConfig.diagnoses` asks for."""
    return torch.stack([(chosen * mask).sum(), mask.sum()]).detach()

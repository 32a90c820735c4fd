"""What is done to the scores of the next token while an answer is drawn."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import LogitsProcessor

from modalink.errors import GenerationError


class Silent:
    """Takes out the tokens that cannot come next: those that are never spoken, and runs that would not fit.

    Args:
        runs: Signal tokens by modality; all but the first of a run only come behind the one before.
        never: Further tokens that are not spoken, such as placeholders.
    """

    def __init__(self, runs: Mapping[str, Sequence[int]], never: Iterable[int] = ()) -> None:
        self.runs = [run for run in runs.values() if run]
        self.never = torch.tensor([*never, *(token for run in self.runs for token in run[1:])], dtype=torch.long)

    def __call__(self, scores: Float[Tensor, "b v"], rooms: Sequence[int]) -> None:
        """Take them out, in place.

        Args:
            scores: Scores of the next token.
            rooms: How many tokens each row may still take.
        """
        self.never = self.never.to(scores.device)
        scores.index_fill_(1, self.never, -torch.inf)
        for row, room in enumerate(rooms):
            for run in self.runs:
                if len(run) > room:
                    scores[row, run[0]] = -torch.inf


class WholeRuns(LogitsProcessor):
    """Forces the rest of a run after its first signal token, as every medium needs all of them in order.

    For example, with the runs `[7, 8, 9]`: after 7 only 8 is possible, after 8 only 9; anywhere else 8 and 9 are not.

    Args:
        runs: Signal tokens by modality.
        longest: Length of the sequence at which the answer is cut; a run that would not fit does not begin.
        start: Where the answer begins in the sequence.
        most: How many runs an answer may have.
    """

    def __init__(self, runs: Mapping[str, Sequence[int]], longest: int, start: int = 0, most: int = 2**31) -> None:
        self.longest, self.start, self.most = longest, start, most
        self.firsts = torch.tensor([run[0] for run in runs.values() if run], dtype=torch.long)
        self.silent = Silent(runs)
        self.next = {token: after for run in runs.values() for token, after in pairwise(run)}

    def __call__(self, input_ids: Int[Tensor, "b t"], scores: Float[Tensor, "b v"]) -> Float[Tensor, "b v"]:
        """The scores of the next token, with those that would break a run taken out."""
        scores = scores.clone()
        begun = torch.isin(input_ids[:, self.start :], self.firsts.to(input_ids.device)).sum(1).tolist()
        room = self.longest - input_ids.shape[1]
        self.silent(scores, [room if count < self.most else 0 for count in begun])
        for row, last in enumerate(input_ids[:, -1].tolist()):
            if last in self.next:
                scores[row] = -torch.inf
                scores[row, self.next[last]] = 0
        return scores


class Numbers(LogitsProcessor):
    """Refuses scores that are no numbers: the likeliest of them would be an arbitrary word."""

    def __call__(self, input_ids: Int[Tensor, "b t"], scores: Float[Tensor, "b v"]) -> Float[Tensor, "b v"]:
        """The scores as they are.

        Raises:
            GenerationError: One of them is NaN.
        """
        if scores.isnan().any():
            raise not_numbers()
        return scores


def not_numbers() -> GenerationError:
    """The error about scores that are no numbers."""
    return GenerationError(
        "the LLM's scores are not numbers: its weights are damaged, or overflow in their dtype; "
        "load it in bfloat16 or float32"
    )

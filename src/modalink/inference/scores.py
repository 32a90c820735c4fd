"""What is done to the scores of the next token while an answer is drawn."""

from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import LogitsProcessor

from modalink.errors import GenerationError


class WholeRuns(LogitsProcessor):
    """Forces the rest of a run after its first signal token, as every medium needs all of them in order.

    For example, with the runs `[7, 8, 9]`: after 7 only 8 is possible, after 8 only 9; anywhere else 8 and 9 are not.

    Args:
        runs: Signal tokens by modality.
        longest: Length of the sequence at which the answer is cut; a run that would not fit does not begin.
    """

    def __init__(self, runs: dict[str, list[int]], longest: int) -> None:
        self.runs = [run for run in runs.values() if run]
        self.longest = longest
        self.inner = [token for run in self.runs for token in run[1:]]
        self.next = {token: after for run in self.runs for token, after in pairwise(run)}

    def __call__(self, input_ids: Int[Tensor, "b t"], scores: Float[Tensor, "b v"]) -> Float[Tensor, "b v"]:
        """The scores of the next token, with those that would break a run taken out."""
        scores = scores.clone()
        scores[:, self.inner] = -torch.inf
        room = self.longest - input_ids.shape[1]
        scores[:, [run[0] for run in self.runs if len(run) > room]] = -torch.inf
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
            raise GenerationError(
                "the LLM's scores are not numbers: its weights are damaged, or overflow in their dtype; "
                "load it in bfloat16 or float32"
            )
        return scores

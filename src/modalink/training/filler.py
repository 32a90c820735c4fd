"""Samples of which nothing is learned: read by a process that lacks what another has in the same forward pass.

So all processes run the same parts of the model equally often, forward and backward, as sharded weights need it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from modalink import modalities
from modalink.conversation import Conversation, Medium, Text, Turn, Use
from modalink.model import ModalinkProcessor
from modalink.model.items import Item
from modalink.model.prepared import IGNORED, Prepared
from modalink.training import parallel

Kind = tuple[Use, str]
"""A use and a modality: what of the model a sample with such a medium runs."""


class Fillers:
    """Fillers of one system.

    Args:
        processor: The system's processor.
    """

    def __init__(self, processor: ModalinkProcessor) -> None:
        self.processor = processor
        read: list[Kind] = [("read", modality) for modality in processor.spec.inputs]
        made: list[Kind] = [("made", modality) for modality in processor.spec.signalled]
        self.kinds = read + made
        self._made: dict[tuple[Kind, ...], Prepared] = {}

    def complete(self, chunks: Sequence[Sequence[Prepared]]) -> list[list[Prepared]]:
        """What each of this process's forward passes needs beside its own samples.

        Args:
            chunks: The samples of each of them.

        Returns:
            As many as any process makes; empty lists where nothing is needed, as always in a single process.
        """
        passes = int(parallel.largest([float(len(chunks))])[0])
        chunks = [*chunks, *[[]] * (passes - len(chunks))]
        own = [[_holds(chunk, kind) for kind in self.kinds] for chunk in chunks]
        most = iter(parallel.largest([float(holds) for row in own for holds in row]))
        fillers = []
        for chunk, row in zip(chunks, own, strict=True):
            anywhere = [next(most) > 0 for _ in row]
            lacking = [k for k, held, needed in zip(self.kinds, row, anywhere, strict=True) if needed and not held]
            fillers.append([self.sample(lacking)] if lacking or not chunk else [])
        return fillers

    def sample(self, kinds: Sequence[Kind]) -> Prepared:
        """A sample with the example of each modality, nothing of which is learned."""
        if tuple(kinds) not in self._made:
            media = {use: [_example(m, use) for u, m in kinds if u == use] for use in ("read", "made")}
            asked = Turn("user", (*media["read"], Text("a")))
            answered = Turn("assistant", (Text("b"), *media["made"]))
            sample = self.processor.prepare(Conversation((asked, answered), "filler"))
            labels = [IGNORED] * len(sample.labels)
            media_, targets = _unlearned(sample.media), _unlearned(sample.targets)
            self._made[tuple(kinds)] = replace(sample, labels=labels, media=media_, targets=targets).loaded()
        return self._made[tuple(kinds)]


def _holds(samples: Sequence[Prepared], kind: Kind) -> bool:
    use, modality = kind
    sides = (side for sample in samples for side in sample.sides)
    return any((side.media if use == "read" else side.targets).get(modality) for side in sides)


def _example(modality: str, use: Use) -> Medium:
    return Medium(modality, modalities.get(modality).example(0), caption="b", use=use)


def _unlearned(items: Mapping[str, list[Item]]) -> dict[str, list[Item]]:
    return {modality: [replace(item, loss=False) for item in own] for modality, own in items.items()}


def no_loss(tensors: Sequence[Tensor]) -> Float[Tensor, ""]:
    """Zero, whose backward goes through all that made the tensors and gives it gradients of zero."""
    zero: Tensor = _NoLoss.apply(*tensors)
    return zero


class _NoLoss(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, *tensors: Tensor) -> Tensor:
        context.like = [(tensor.shape, tensor.dtype, tensor.device) for tensor in tensors]
        return tensors[0].new_zeros((), dtype=torch.float32)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.zeros(shape, dtype=dtype, device=device) for shape, dtype, device in context.like)

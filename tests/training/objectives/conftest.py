from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from modalink.model.batch import Batch, Targets
from modalink.model.collating import collate
from modalink.model.items import Item
from modalink.model.prepared import Prepared
from modalink.roles import Conditions
from modalink.training.denoiser_states import DenoiserStates
from modalink.training.objectives import Output


class Tutor:
    """A generator as objectives see it; its conditions of a text are that text's length."""

    generator: Any = None

    def __init__(self) -> None:
        self.denoiser = DenoiserStates({}, None)
        self.seen: list[Tensor] = []
        self.noise: list[Tensor] = []

    def text_conditions(self, captions: list[str]) -> Conditions:
        return Conditions({"tokens": torch.stack([torch.full((2, 4), float(len(caption))) for caption in captions])})

    def null_conditions(self) -> Conditions:
        return self.text_conditions([""])

    def latents(self, targets: Targets, chosen: Sequence[int]) -> list[Tensor]:
        return [targets.items[i].load()[0] for i in chosen]

    def denoising_error(self, latents: list[Tensor], conditions: Conditions, rng: list[torch.Generator]) -> Tensor:
        self.seen.append(conditions["tokens"])
        self.noise.append(torch.stack([torch.randn((), generator=r) for r in rng]))
        return (torch.stack(latents).mean(dim=(1, 2, 3)) - conditions["tokens"].mean(dim=(1, 2))).square()


@pytest.fixture
def tutor() -> Tutor:
    return Tutor()


@pytest.fixture
def batch() -> Batch:
    """Two samples: one draws a captioned picture, the other a picture with a caption and one without."""

    def item(value: float, caption: str | None) -> Item:
        return Item.of(torch.full((1, 3, 2, 2), value), caption=caption)

    samples = [
        Prepared("a", [1, 2], [-100, 2], targets={"image": [item(1.0, "four")]}),
        Prepared("b", [1, 2], [-100, 2], targets={"image": [item(2.0, "seventy"), item(3.0, None)]}),
    ]
    return collate(samples, packed=True, pad_id=0)


@pytest.fixture
def output() -> Callable[[Tensor], Output]:
    return lambda tokens: Output(conditions={"image": Conditions({"tokens": tokens})})


def unlearned(batch: Batch, number: int) -> Batch:
    """The same batch, of whose targets one carries no loss."""
    targets = batch.targets["image"]
    items = [replace(item, loss=i != number) for i, item in enumerate(targets.items)]
    return replace(batch, targets={"image": replace(targets, items=items)})

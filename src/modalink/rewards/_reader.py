"""How likely a system finds captions of media that it is shown, as a number that can be followed back to pictures."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional

from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.errors import TrainingError
from modalink.model import System
from modalink.model.batch import Batch
from modalink.model.sides import per_side
from modalink.ragged import Ragged
from modalink.rewards import Differentiable
from modalink.roles import ReadsPixels

QUESTION = "What does the image show?"
_INSTEAD = "name a reward (rewards: [{kind: clip, ...}])"


class Reader(Differentiable):
    """The mean log-probability of a caption's tokens, given the medium and a question about it.

    Args:
        system: What reads.
        device: Where it is.
        question: What it is asked about the medium.
        weights: Inside this its weights are those that read.
        name: What errors call it.
    """

    def __init__(
        self,
        system: System,
        device: torch.device,
        question: str = QUESTION,
        weights: Callable[[], AbstractContextManager[None]] = nullcontext,
        name: str = "own reading",
    ) -> None:
        self.system, self.device, self.question, self.weights, self.name = system, device, question, weights, name

    def gradient(
        self, modality: str, seen: Float[Tensor, "i ..."], captions: Sequence[str]
    ) -> tuple[Float[Tensor, " i"], Float[Tensor, "i ..."]]:
        """The score of each picture, and its gradient to the pixels.

        Raises:
            TrainingError: The system does not read such media, or not with gradients.
        """
        preprocessor, model = self._preprocessor(modality), self.system.model
        encoder = model.model.encoder(modality)
        batch = self._batch(modality, [_image(one) for one in seen], captions)
        leaf = seen.detach().requires_grad_()
        # Leaves of the graph are the parameters themselves: their values must be those that read until it is gone.
        with self.weights(), torch.enable_grad():
            units = preprocessor.of_pixels(leaf)
            items = Ragged.of([*units], [item.layout for item in batch.items[modality]])
            features = Ragged.of([*encoder(items)], [encoder.layout(item.layout) for item in batch.items[modality]])
            values = self._values(replace(batch, features={modality: features}))
            (gradient,) = torch.autograd.grad(values.sum(), leaf)
        return values.detach(), gradient

    @torch.no_grad()
    def score(self, modality: str, media: Sequence[Any], captions: Sequence[str]) -> Float[Tensor, " i"]:
        """The score of each medium, of any modality that the system reads.

        Raises:
            TrainingError: It does not read such media.
        """
        self._demand_reader(modality)
        batch = self._batch(modality, media, captions)
        with self.weights():
            return self._values(batch)

    def _values(self, batch: Batch) -> Float[Tensor, " i"]:
        logits = self.system.model(**batch.inputs(conditions=False)).logits
        return per_side(
            -functional.cross_entropy(logits.float(), batch.wanted, reduction="none"), batch.sides, torch.mean
        )

    def _preprocessor(self, modality: str) -> ReadsPixels:
        reader = self._demand_reader(modality)
        if not isinstance(reader, ReadsPixels):
            raise TrainingError(
                f"{self.name}: the system reads {modality} through {type(reader).__name__}, which has no gradients; "
                f"{_INSTEAD}, or learn from judged media (diffusion_dpo, diffusion_kto)"
            )
        return reader

    def _demand_reader(self, modality: str) -> Any:
        readers = self.system.processor.readers
        if modality not in readers:
            raise TrainingError(f"{self.name}: found {modality} that this system makes and cannot read; {_INSTEAD}")
        return readers[modality]

    def _batch(self, modality: str, media: Sequence[Any], captions: Sequence[str]) -> Batch:
        shown = [self.shown(modality, *each) for each in zip(media, captions, strict=True)]
        return self.system.batch([self.system.prepare(one, learning=True) for one in shown]).to(self.device)

    def shown(self, modality: str, medium: Any, caption: str) -> Conversation:
        """What the system is given to read."""
        asked = Turn("user", (Medium(modality, medium, use="read"), Text(f"\n{self.question}")))
        return Conversation((asked, Turn("assistant", (Text(caption),))), self.name)


def _image(pixels: Float[Tensor, "3 h w"]) -> Image.Image:
    return Image.fromarray(pixels.detach().mul(255).round().byte().permute(1, 2, 0).cpu().numpy())

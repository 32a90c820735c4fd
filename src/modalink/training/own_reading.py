"""The system's own reading of media that it made, as a reward that can be followed back to them.

The reader is the state in which the stage began, never the one that learns: else it would learn to read well what it
draws badly. Like any reward that learns from what it judges it deceives itself at some point; an outside judge beside
it (`evaluate` of the stage) says when.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.errors import TrainingError
from modalink.model.batch import Batch
from modalink.model.sides import per_side
from modalink.ragged import Ragged
from modalink.rewards import Differentiable
from modalink.roles import ReadsPixels
from modalink.training.forward import forward
from modalink.training.reference import Reference

QUESTION = "What does the image show?"
_INSTEAD = "name a reward (rewards: [{kind: clip, ...}])"


class OwnReading(Differentiable):
    """The mean log-probability of a caption's tokens, given the picture and a question about it.

    Args:
        reference: The state in which the stage began.
        question: What the system is asked about the picture.
    """

    def __init__(self, reference: Reference, question: str = QUESTION) -> None:
        self.reference, self.question = reference, question

    def asking(self, question: str | None) -> "OwnReading":
        """The same with another question; itself if it is None."""
        return self if question is None else OwnReading(self.reference, question)

    def gradient(
        self, modality: str, seen: Float[Tensor, "i ..."], captions: Sequence[str]
    ) -> tuple[Float[Tensor, " i"], Float[Tensor, "i ..."]]:
        """The score of each picture, and its gradient to the pixels.

        Raises:
            TrainingError: The system does not read such media, or not with gradients.
        """
        preprocessor, model = self._preprocessor(modality), self.reference.system.model
        encoder = model.model.encoder(modality)
        batch = self._batch(modality, [_image(one) for one in seen], captions)
        leaf = seen.detach().requires_grad_()
        # Leaves of the graph are the parameters themselves: their values must be those of the start until it is gone.
        with self.reference.start.in_place(), torch.enable_grad():
            units = preprocessor.of_pixels(leaf)
            items = Ragged.of([*units], [item.layout for item in batch.items[modality]])
            features = Ragged.of([*encoder(items)], [encoder.layout(item.layout) for item in batch.items[modality]])
            found = forward(model, replace(batch, features={modality: features}), {"logprobs"}).logprobs
            assert found is not None
            values = per_side(found, batch.sides, torch.mean)
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
        with self.reference.start.in_place():
            found = forward(self.reference.system.model, batch, {"logprobs"}).logprobs
        assert found is not None
        return per_side(found, batch.sides, torch.mean)

    def _preprocessor(self, modality: str) -> ReadsPixels:
        reader = self._demand_reader(modality)
        if not isinstance(reader, ReadsPixels):
            raise TrainingError(
                f"own reading: the system reads {modality} through {type(reader).__name__}, which has no gradients; "
                f"{_INSTEAD}, or learn from judged media (diffusion_dpo, diffusion_kto)"
            )
        return reader

    def _demand_reader(self, modality: str) -> Any:
        readers = self.reference.system.processor.readers
        if modality not in readers:
            raise TrainingError(f"own reading: found {modality} that this system makes and cannot read; {_INSTEAD}")
        return readers[modality]

    def _batch(self, modality: str, media: Sequence[Any], captions: Sequence[str]) -> Batch:
        system = self.reference.system
        shown = [self.shown(modality, *each) for each in zip(media, captions, strict=True)]
        return system.batch([system.prepare(one, learning=True) for one in shown]).to(self.reference.once.device)

    def shown(self, modality: str, medium: Any, caption: str) -> Conversation:
        """What the system is given to read."""
        asked = Turn("user", (Medium(modality, medium, use="read"), Text(f"\n{self.question}")))
        return Conversation((asked, Turn("assistant", (Text(caption),))), "own reading")


def _image(pixels: Float[Tensor, "3 h w"]) -> Image.Image:
    return Image.fromarray(pixels.detach().mul(255).round().byte().permute(1, 2, 0).cpu().numpy())

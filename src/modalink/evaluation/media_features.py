"""Media and texts as features, by any encoder that the user names."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from modalink import files, hub
from modalink.encoders._images import ImagePreprocessor, image_processor
from modalink.errors import PartError
from modalink.evaluation.inception import InceptionEncoder
from modalink.evaluation.media_files import media_files
from modalink.hub.embedding import Embedder, vectors_of


def media_encoder(checkpoint: str, *, device: str = "cpu") -> "HubEncoder | InceptionEncoder":
    """The encoder that a user names: a file of weights is Inception's, all else a checkpoint of Hugging Face's format.

    Args:
        checkpoint: A file of pytorch-fid's weights, a folder, or a hub id.
        device: Where to compute.
    """
    if files.named(checkpoint, PartError).is_file():
        return InceptionEncoder(checkpoint, device=device)
    return HubEncoder(checkpoint, device=device)


@dataclass(frozen=True)
class HubEncoder(Embedder):
    """A Hugging Face encoder as what scoring calls a `FeatureEncoder`; see `Embedder`."""

    def folder(self, folder: Path, modality: str) -> Float[np.ndarray, "n d"]:
        """Features of a folder's media, in alphabetical order.

        Raises:
            DataError: The folder holds no such media.
        """
        return self.media(media_files(folder, modality), modality)

    def gradient(
        self,
        pixels: Float[torch.Tensor, "i 3 h w"],
        texts: Sequence[str],
        score: Callable[[torch.Tensor], torch.Tensor],
    ) -> tuple[Float[torch.Tensor, " i"], Float[torch.Tensor, "i 3 h w"]]:
        """A score of the cosine of each picture and its text, and its gradient to the picture.

        Args:
            pixels: Colours from 0 to 1.
            texts: A text for each.
            score: Scores of cosines.
        """
        model, leaf = self.model, pixels.detach().float().to(self.device).requires_grad_()
        folder = hub.locate(self.checkpoint, weights=False)
        units = ImagePreprocessor(image_processor(folder, getattr(model.config, "vision_config", model.config)))
        words = torch.from_numpy(self.texts(texts)).float().to(self.device)
        with torch.enable_grad():
            found = vectors_of(model.get_image_features(pixel_values=units.of_pixels(leaf)[:, 0]))
            values = score(torch.cosine_similarity(found, words, dim=-1))
            (gradient,) = torch.autograd.grad(values.sum(), leaf)
        return values.detach().to(pixels.device), gradient.to(pixels.device)

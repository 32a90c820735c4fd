"""Media and texts as features, by any encoder that the user names."""

from collections.abc import Callable, Mapping, Sequence
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
from modalink.evaluation.vggish import VggishEncoder
from modalink.hub.embedding import Embedder, vectors_of
from modalink.hub.kind_embedding import KindEmbedder
from modalink.kinds import kinds
from modalink.roles import EncoderConfig
from modalink.scoring.features import FeatureEncoder

NetworkLoader = Callable[..., FeatureEncoder]
NETWORKS: Mapping[str, NetworkLoader] = {"inception": InceptionEncoder, "vggish": VggishEncoder}
"""Networks of features that are no encoders of systems, by their names."""


def media_encoder(checkpoint: str, *, device: str = "cpu") -> FeatureEncoder:
    """The encoder that a user names.

    Args:
        checkpoint: A folder or hub id of an encoder in Hugging Face's format; `KIND:CHECKPOINT`, a kind of modalink's
            encoders and what it is built from, for those that no Auto class knows (`beats:BEATs_iter3.pt`);
            `vggish:FILE` of FAD; or a file of pytorch-fid's weights, also as `inception:FILE`.
        device: Where to compute.
    """
    kind, rest = checkpoint.partition(":")[0], weights_of(checkpoint)
    if rest != checkpoint:
        return NETWORKS[kind](rest, device=device) if kind in NETWORKS else KindEncoder(kind, rest, device=device)
    if files.named(checkpoint, PartError).is_file():
        return InceptionEncoder(checkpoint, device=device)
    return HubEncoder(checkpoint, device=device)


def weights_of(checkpoint: str) -> str:
    """What an encoder that a user names is built from: its name without the kind in front."""
    kind, colon, rest = checkpoint.partition(":")
    return rest if colon and (kind in NETWORKS or kind in kinds(EncoderConfig.room)) else checkpoint


@dataclass(frozen=True)
class KindEncoder(KindEmbedder):
    """An encoder of modalink as what scoring calls a `FeatureEncoder`; see `KindEmbedder`."""

    def folder(self, folder: Path, modality: str) -> Float[np.ndarray, "n d"]:
        """Features of a folder's media, in alphabetical order.

        Raises:
            DataError: The folder holds no such media.
        """
        return self.media(media_files(folder, modality), modality)


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

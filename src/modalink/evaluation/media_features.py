"""Media and texts as features, by any encoder that the user names."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from pydantic import ValidationError

from modalink import files, hub, modalities
from modalink.encoders import built
from modalink.encoders._images import ImagePreprocessor, image_processor
from modalink.errors import PartError
from modalink.evaluation.inception import InceptionEncoder
from modalink.evaluation.media_files import media_files
from modalink.evaluation.vggish import VggishEncoder
from modalink.hub.embedding import Embedder, vectors_of
from modalink.kinds import kinds, parse
from modalink.ragged import Ragged
from modalink.roles import Encoder, EncoderConfig, Preprocessor
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
    kind, colon, rest = checkpoint.partition(":")
    if colon and kind in NETWORKS:
        return NETWORKS[kind](rest, device=device)
    if colon and kind in kinds(EncoderConfig.room):
        return KindEncoder(kind, rest, device=device)
    if files.named(checkpoint, PartError).is_file():
        return InceptionEncoder(checkpoint, device=device)
    return HubEncoder(checkpoint, device=device)


@dataclass(frozen=True)
class KindEncoder:
    """An encoder of modalink as what scoring calls a `FeatureEncoder`: of each medium the mean of its tokens.

    Args:
        kind: Its kind.
        checkpoint: Its checkpoint.
        device: Where to compute.

    Raises:
        PartError: It cannot be built, or does not read such media.
        MediumError: A medium cannot be read.
    """

    kind: str
    checkpoint: str
    device: str = "cpu"

    def folder(self, folder: Path, modality: str) -> Float[np.ndarray, "n d"]:
        """Features of a folder's media, in alphabetical order.

        Raises:
            DataError: The folder holds no such media.
        """
        return self.media(media_files(folder, modality), modality)

    def texts(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """Nothing: encoders of media embed no texts."""
        raise PartError(f"{self.kind}:{self.checkpoint}: embeds no texts; needed an encoder of texts and media alike")

    def media(self, paths: Sequence[Any], modality: str) -> Float[np.ndarray, "n d"]:
        """Features of media, files or decoded, in their order."""
        encoder, read = _own(self.kind, self.checkpoint, modality, self.device)
        rows = []
        with torch.inference_mode():
            for path in paths:
                handle = modalities.get(modality).open(path)
                units = Ragged.of([read.units(handle)], [read.layout(handle)])
                rows.append(encoder(units.to(self.device)).values.double().mean(0).cpu().numpy())
        return np.stack(rows)


@lru_cache(maxsize=2)
def _own(kind: str, checkpoint: str, modality: str, device: str) -> tuple[Encoder, Preprocessor]:
    """An encoder of a kind and what media go through before it.

    Raises:
        PartError: It does not read the modality, or has settings that must be said.
    """
    try:
        found = parse(EncoderConfig.room, {"kind": kind, "checkpoint": checkpoint})
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        place = ".".join(map(str, wrong["loc"]))
        raise PartError(f"{kind}:{checkpoint}: {place}: {wrong['msg']}; such an encoder cannot be named so") from None
    assert isinstance(found, EncoderConfig)
    if not modalities.get(modality).fits(found.reads()):
        reads = ", ".join(sorted(found.reads()))
        raise PartError(f"{kind}:{checkpoint}: found {modality} to encode, and it reads {reads}")
    config = found.for_modality(modality)
    encoder = built(config).for_modality(modality).eval().to(device)
    return encoder, config.preprocessor()


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

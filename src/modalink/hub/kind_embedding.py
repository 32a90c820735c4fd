"""Media and texts as vectors, by one of modalink's own encoders, which is named by its kind and its checkpoint."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from pydantic import ValidationError

from modalink import modalities
from modalink.errors import PartError
from modalink.hub.embedding import Embedder, unit
from modalink.kinds import kinds, parse
from modalink.modalities.sentence import Sentence
from modalink.ragged import Ragged
from modalink.roles import Encoder, EncoderConfig, Preprocessor


def embedder(checkpoint: str, *, device: str = "cpu") -> "Embedder | KindEmbedder":
    """The encoder that a user names.

    Args:
        checkpoint: A folder or hub id of an encoder in Hugging Face's format; or `KIND:CHECKPOINT`, a kind of
            modalink's encoders and what it is built from, for those that no Auto class knows (`imagebind:FOLDER`).
        device: Where to compute.
    """
    kind, colon, rest = checkpoint.partition(":")
    if colon and kind in kinds(EncoderConfig.room):
        return KindEmbedder(kind, rest, device=device)
    return Embedder(checkpoint, device=device)


@dataclass(frozen=True)
class KindEmbedder:
    """One of modalink's encoders as what turns media, and texts where it reads sentences, into vectors.

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

    def media(self, paths: Sequence[Any], modality: str) -> Float[np.ndarray, "n d"]:
        """Of each medium, a file or decoded, the mean of its tokens; in their order."""
        opened = modalities.get(modality).open
        # Opened when it is known that such media are read at all.
        return self._encoded(map(opened, paths), modality)

    def aligned(self, paths: Sequence[Any], modality: str) -> Float[np.ndarray, "n d"]:
        """Media in the space of the texts: unit vectors, whose product with a text's is the cosine."""
        return unit(self.media(paths, modality))

    def texts(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """Features of texts by an encoder that reads sentences beside media; too long ones are cut."""
        if "sentence" not in _settings(self.kind, self.checkpoint).reads():
            raise PartError(
                f"{self.kind}:{self.checkpoint}: embeds no texts; needed an encoder of texts and media alike, such as "
                "imagebind:FOLDER or openai/clip-vit-base-patch32"
            )
        encoder, read = _built(self.kind, self.checkpoint, "sentence", self.device)
        rows = [self._row(encoder, Ragged.of([read(Sentence(text))], [read.layout(Sentence(text))])) for text in texts]
        return np.stack(rows)

    def _encoded(self, handles: Iterable[Any], modality: str) -> Float[np.ndarray, "n d"]:
        encoder, read = _built(self.kind, self.checkpoint, modality, self.device)
        return np.stack([self._row(encoder, Ragged.of([read.units(h)], [read.layout(h)])) for h in handles])

    @torch.inference_mode()
    def _row(self, encoder: Encoder, item: Ragged) -> Float[np.ndarray, " d"]:
        row: Float[np.ndarray, " d"] = encoder(item.to(self.device)).values.double().mean(0).cpu().numpy()
        return row


def _settings(kind: str, checkpoint: str) -> EncoderConfig:
    """The settings of an encoder that reads all that it can.

    Raises:
        PartError: It has settings that must be said.
    """
    try:
        found = parse(EncoderConfig.room, {"kind": kind, "checkpoint": checkpoint})
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        place = ".".join(map(str, wrong["loc"]))
        raise PartError(f"{kind}:{checkpoint}: {place}: {wrong['msg']}; such an encoder cannot be named so") from None
    assert isinstance(found, EncoderConfig)
    return found.reading_all()


@lru_cache(maxsize=2)  # media and texts are asked in turn
def _built(kind: str, checkpoint: str, modality: str, device: str) -> tuple[Encoder, Preprocessor]:
    """An encoder of a kind, and what media go through before it."""
    found = _settings(kind, checkpoint)
    if not modalities.get(modality).fits(found.reads()):
        reads = ", ".join(sorted(found.reads()))
        raise PartError(f"{kind}:{checkpoint}: found {modality} to encode, and it reads {reads}")
    config = found.for_modality(modality)
    return config.build().for_modality(modality).eval().to(device), config.preprocessor()

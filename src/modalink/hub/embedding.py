"""Media and texts as vectors, by any encoder of Hugging Face's format that the user names."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from transformers import AutoFeatureExtractor, AutoImageProcessor, AutoModel, AutoTokenizer

from modalink import modalities
from modalink.errors import PartError
from modalink.hub.causes import foreign
from modalink.hub.files import locate
from modalink.hub.loading import read
from modalink.modalities.points import views

FRAMES = 16
"""Frames, at even distances, that stand for a video whose encoder does not say how many it reads."""
VIEWS = 12
"""Pictures from all around that stand for a shape."""


@dataclass(frozen=True)
class Embedder:
    """A Hugging Face encoder as what turns media, and texts where it has a tower for them, into vectors.

    Args:
        checkpoint: Folder or hub id of the encoder.
        batch: Media or texts that are encoded together.
        device: Where to compute.

    Raises:
        PartError: The encoder cannot be loaded, gives no vector, or is none for such media.
        MediumError: A medium cannot be read.
    """

    checkpoint: str
    batch: int = 32
    device: str = "cpu"

    def media(self, paths: Sequence[Any], modality: str) -> Float[np.ndarray, "n d"]:
        """Features of media, files or decoded, in their order; of shapes the mean over their views."""
        if modality == "points":
            return np.stack([self.images(pictures(path, modality)).mean(0) for path in paths])
        if modality == "audio":
            # Padded to the longest of a batch, a sound would have other features beside other sounds.
            return np.concatenate([self._in_batches([path], self._of("audio")) for path in paths])
        return self._in_batches(paths, self._of(modality))

    def images(self, images: Sequence[Image.Image]) -> Float[np.ndarray, "n d"]:
        """Features of decoded images."""
        processor = self._read(AutoImageProcessor)
        encode = getattr(self.model, "get_image_features", self.model)
        prepared: Callable[[Sequence[Any]], Any] = lambda batch: processor(list(batch), return_tensors="pt")  # noqa: E731
        return self._in_batches(images, lambda batch: encode(**self._placed(prepared(batch))))

    def aligned(self, paths: Sequence[Any], modality: str) -> Float[np.ndarray, "n d"]:
        """Media in the space of the texts: unit vectors, or the mean of those of their frames or views.

        The product with a text's unit vector is the cosine; of a video the mean over its frames, which is CLIPSIM.
        """
        if modality == "audio":
            return unit(self.media(paths, modality))
        return np.stack([unit(self.images(pictures(path, modality))).mean(0) for path in paths])

    def texts(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """Features of texts by an encoder that embeds texts and media alike; too long ones are cut."""
        encode = getattr(self.model, "get_text_features", None)
        if encode is None:
            raise PartError(
                f"{self.checkpoint}: found {type(self.model).__name__}, which embeds no texts; needed an encoder of "
                "texts and media alike, such as openai/clip-vit-base-patch32, or for sounds laion/clap-htsat-unfused"
            )
        # SigLIP's tower of words reads what stands at the last of all its places, and learned from filled texts.
        filled = "max_length" if str(self.model.config.model_type).startswith("siglip") else True
        tokenizer, options = self._read(AutoTokenizer), {"padding": filled, "truncation": True}
        return self._in_batches(
            texts, lambda batch: encode(**self._placed(tokenizer(list(batch), return_tensors="pt", **options)))
        )

    @property
    def model(self) -> Any:
        """The model, in evaluation mode."""
        return model_of(self.checkpoint, self.device)

    def _read(self, auto_class: Any) -> Any:
        return read(auto_class, locate(self.checkpoint, weights=False))

    def _of(self, modality: str) -> Callable[[Sequence[Any]], Any]:
        """From media of a modality to the encoder's output."""
        encode = getattr(self.model, f"get_{modality}_features", self.model)
        if modality == "audio":
            extractor = self._read(AutoFeatureExtractor)
            rate = extractor.sampling_rate
            options = {"sampling_rate": rate, "return_tensors": "pt", "padding": True}
            return lambda paths: encode(**self._placed(extractor([_sound(path, rate) for path in paths], **options)))
        processor = self._read(AutoImageProcessor)
        if modality == "video":
            frames = getattr(self.model.config, "num_frames", FRAMES)
            clips: Callable[[Sequence[Any]], Any] = lambda paths: [_frames(path, frames) for path in paths]  # noqa: E731
            return lambda paths: encode(**self._placed(processor(clips(paths), return_tensors="pt")))
        decode = modalities.get("image").read
        return lambda paths: encode(**self._placed(processor([decode(path) for path in paths], return_tensors="pt")))

    def _placed(self, inputs: Any) -> dict[str, Any]:
        return dict(inputs.to(self.device))

    def _in_batches(self, things: Sequence[Any], encode: Callable[[Sequence[Any]], Any]) -> Float[np.ndarray, "n d"]:
        rows = []
        for start in range(0, len(things), self.batch):
            batch = things[start : start + self.batch]
            with torch.inference_mode(), _without_chance(), foreign(PartError, f"{self.checkpoint}: cannot encode"):
                vectors = vectors_of(encode(batch)).double().cpu().numpy()
            if len(vectors) != len(batch):
                raise PartError(
                    f"{self.checkpoint}: found {len(vectors)} vectors of {len(batch)} media, needed one each; is it an "
                    "encoder of this modality?"
                )
            rows.append(vectors)
        return np.concatenate(rows)


def pictures(path: Any, modality: str) -> list[Image.Image]:
    """The pictures that stand for a medium: itself, frames of a video, views of a shape."""
    record = modalities.get(modality)
    if record.fits({"points"}):
        return views(record.read(path), VIEWS)
    if record.fits({"video"}):
        return [Image.fromarray(frame) for frame in _frames(path, FRAMES)]
    return [record.read(path).convert("RGB")]


def unit(vectors: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """The same vectors with the length 1."""
    lengths: Float[np.ndarray, "n d"] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return lengths


def vectors_of(output: Any) -> torch.Tensor:
    """One vector for each item: the pooled state, else the mean state."""
    if isinstance(output, torch.Tensor):
        return output
    pooled = getattr(output, "pooler_output", None)
    states = getattr(output, "last_hidden_state", None)
    if pooled is not None:
        return torch.as_tensor(pooled).flatten(1)
    if states is None:
        raise PartError(f"found an encoder output {type(output).__name__} without a pooled or last hidden state")
    return torch.as_tensor(states).flatten(2).mean(-1) if states.ndim == 4 else torch.as_tensor(states).mean(1)


@lru_cache(maxsize=2)  # rewards of pictures and of sounds are asked in turn
def model_of(checkpoint: str, device: str) -> Any:
    return read(AutoModel, locate(checkpoint), dtype=torch.float32).eval().to(device)


@contextmanager
def _without_chance() -> Iterator[None]:
    """CLAP's feature extractor draws which seconds of a long sound it takes from numpy's global state."""
    before = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(before)


def _frames(path: Any, count: int) -> list[np.ndarray]:
    """`count` frames at even distances over the whole video."""
    frames = np.asarray(modalities.get("video").read(path))
    return [frames[i] for i in np.linspace(0, len(frames) - 1, count).round().astype(int)]


def _sound(path: Any, rate: int) -> np.ndarray:
    """A sound in mono at the encoder's rate."""
    samples: np.ndarray = modalities.get("audio").open(path).samples(rate)  # type: ignore[attr-defined]
    return samples

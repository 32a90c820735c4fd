"""Media and texts as features, by any Hugging Face encoder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from jaxtyping import Float
from scipy.signal import resample_poly
from transformers import AutoFeatureExtractor, AutoImageProcessor, AutoModel, AutoTokenizer

from modalink import hub, modalities
from modalink.errors import DataError, PartError

SUFFIXES = {
    "image": (".png", ".jpg", ".jpeg", ".webp", ".bmp"),
    "audio": (".wav", ".flac", ".ogg", ".mp3"),
    "video": (".mp4", ".webm", ".mkv", ".avi", ".mov", ".gif"),
}


@dataclass(frozen=True)
class HubEncoder:
    """A Hugging Face encoder as what scoring calls a `FeatureEncoder`.

    Args:
        checkpoint: Folder or hub id of the encoder.
        batch: Media or texts that are encoded together.
        frames: Frames, at even distances, that stand for a video.

    Raises:
        PartError: The encoder cannot be loaded, or gives no vector.
    """

    checkpoint: str
    batch: int = 32
    frames: int = 16

    def folder(self, folder: Path, modality: str) -> Float[np.ndarray, "n d"]:
        """Features of a folder's media, in alphabetical order.

        Raises:
            DataError: The folder holds no such media.
        """
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES[modality])
        if not paths:
            raise DataError(f"{folder}: found no {modality}, needed files {', '.join(SUFFIXES[modality])}")
        return self.media(paths, modality)

    def media(self, paths: Sequence[Any], modality: str) -> Float[np.ndarray, "n d"]:
        """Features of media, files or decoded, in their order."""
        model = _model(self.checkpoint)
        preprocess = self._preprocessing(modality)
        encode = getattr(model, f"get_{modality}_features", model)
        return self._in_batches(paths, lambda batch: encode(**preprocess(batch)))

    def texts(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """Features of texts by an encoder that embeds texts and media alike; too long ones are cut."""
        tokenizer, options = hub.read(AutoTokenizer, hub.locate(self.checkpoint)), {"padding": True, "truncation": True}
        encode = _model(self.checkpoint).get_text_features
        return self._in_batches(texts, lambda batch: encode(**tokenizer(list(batch), return_tensors="pt", **options)))

    def _preprocessing(self, modality: str) -> Callable[[Sequence[Any]], Any]:
        if modality == "video":
            return _videos(self.checkpoint, self.frames)
        return {"image": _images, "audio": _sounds}[modality](self.checkpoint)

    def _in_batches(self, things: Sequence[Any], encode: Callable[[Sequence[Any]], Any]) -> Float[np.ndarray, "n d"]:
        rows = []
        with torch.inference_mode():
            for start in range(0, len(things), self.batch):
                rows.append(_vector(encode(things[start : start + self.batch])).double().numpy())
        return np.concatenate(rows)


def _vector(output: Any) -> torch.Tensor:
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
def _model(checkpoint: str) -> Any:
    return hub.read(AutoModel, hub.locate(checkpoint), dtype=torch.float32).eval()


def _images(encoder: str) -> Callable[[Sequence[Any]], Any]:
    processor = hub.read(AutoImageProcessor, hub.locate(encoder, weights=False))
    read = modalities.get("image").read
    return lambda paths: processor(images=[read(path) for path in paths], return_tensors="pt")


def _videos(encoder: str, frames: int) -> Callable[[Sequence[Any]], Any]:
    processor = hub.read(AutoImageProcessor, hub.locate(encoder, weights=False))
    return lambda paths: processor([_frames(path, frames) for path in paths], return_tensors="pt")


def _frames(path: Any, count: int) -> list[np.ndarray]:
    """`count` frames at even distances over the whole video."""
    frames = np.asarray(modalities.get("video").read(path))
    return [frames[i] for i in np.linspace(0, len(frames) - 1, count).round().astype(int)]


def _sounds(encoder: str) -> Callable[[Sequence[Any]], Any]:
    extractor = hub.read(AutoFeatureExtractor, hub.locate(encoder, weights=False))
    rate = extractor.sampling_rate
    return lambda paths: extractor(
        [_sound(path, rate) for path in paths], sampling_rate=rate, return_tensors="pt", padding=True
    )


def _sound(source: Any, rate: int) -> np.ndarray:
    """A sound in mono at the encoder's rate."""
    if not isinstance(source, Path):
        sound = modalities.get("audio").read(source)
        return np.asarray(resample_poly(sound.values.astype(np.float64), rate, sound.rate_hz))
    try:
        samples, own_rate = soundfile.read(source, always_2d=True)
    except soundfile.LibsndfileError as error:
        raise DataError(f"{source}: cannot be decoded ({error})") from error
    return np.asarray(resample_poly(samples.mean(1), rate, own_rate))

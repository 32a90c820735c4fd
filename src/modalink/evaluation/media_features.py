"""Media and texts as features, by any Hugging Face encoder."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from transformers import AutoFeatureExtractor, AutoImageProcessor, AutoModel, AutoTokenizer

from modalink import modalities
from modalink.errors import DataError, MissingExtraError, PartError

BATCH = 32
FRAMES = 16
SUFFIXES = {
    "image": (".png", ".jpg", ".jpeg", ".webp", ".bmp"),
    "audio": (".wav", ".flac", ".ogg", ".mp3"),
    "video": (".mp4", ".webm", ".mkv", ".avi", ".mov", ".gif"),
}


def encode_folder(folder: Path, encoder: str, medium: str) -> tuple[list[str], Float[np.ndarray, "n d"]]:
    """File names and features of a folder's media, in alphabetical order.

    Raises:
        DataError: The folder holds no such media.
        PartError: The encoder cannot be loaded, or gives no vector.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES[medium])
    if not paths:
        raise DataError(f"{folder}: found no {medium}, needed files {', '.join(SUFFIXES[medium])}")
    return [path.name for path in paths], encode_media(paths, encoder, medium)


def encode_media(paths: Sequence[Path], encoder: str, medium: str) -> Float[np.ndarray, "n d"]:
    """Features of media files, in their order."""
    model = _model(encoder)
    prepare = {"image": _images, "audio": _sounds, "video": _videos}[medium](encoder)
    method = getattr(model, f"get_{medium}_features", model)
    return _in_batches(paths, lambda batch: method(**prepare(batch)))


def encode_texts(texts: Sequence[str], encoder: str) -> Float[np.ndarray, "n d"]:
    """Features of texts by an encoder that embeds texts and media alike; too long ones are cut."""
    model, tokenizer = _model(encoder), AutoTokenizer.from_pretrained(encoder)
    options = {"return_tensors": "pt", "padding": True, "truncation": True}
    return _in_batches(texts, lambda batch: model.get_text_features(**tokenizer(list(batch), **options)))


def _in_batches(things: Sequence[Any], run: Callable[[Sequence[Any]], Any]) -> Float[np.ndarray, "n d"]:
    rows = []
    with torch.inference_mode():
        for start in range(0, len(things), BATCH):
            rows.append(_vector(run(things[start : start + BATCH])).double().numpy())
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


@cache
def _model(encoder: str) -> Any:
    try:
        return AutoModel.from_pretrained(encoder, dtype=torch.float32).eval()
    except (OSError, ValueError) as error:
        raise PartError(f"encoder {encoder}: cannot be loaded ({error})") from error


def _images(encoder: str) -> Callable[[Sequence[Path]], Any]:
    processor = AutoImageProcessor.from_pretrained(encoder)
    read = modalities.get("image").read
    return lambda paths: processor(images=[read(path) for path in paths], return_tensors="pt")


def _videos(encoder: str) -> Callable[[Sequence[Path]], Any]:
    processor = AutoImageProcessor.from_pretrained(encoder)
    return lambda paths: processor([_frames(path) for path in paths], return_tensors="pt")


def _frames(path: Path) -> list[np.ndarray]:
    """Frames at even distances over the whole video."""
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("reading videos", "av", "scoring") from error
    try:
        with av.open(str(path)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    except (av.FFmpegError, IndexError) as error:
        raise DataError(f"{path}: cannot be decoded ({error})") from error
    return [frames[i] for i in np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)]


def _sounds(encoder: str) -> Callable[[Sequence[Path]], Any]:
    extractor = AutoFeatureExtractor.from_pretrained(encoder)
    rate = extractor.sampling_rate
    return lambda paths: extractor(
        [_sound(path, rate) for path in paths], sampling_rate=rate, return_tensors="pt", padding=True
    )


def _sound(path: Path, rate: int) -> np.ndarray:
    """A sound in mono at the encoder's rate."""
    try:
        import soundfile
        from scipy.signal import resample_poly
    except ImportError as error:
        raise MissingExtraError("reading sounds", "soundfile", "scoring") from error
    try:
        samples, found = soundfile.read(path, always_2d=True)
    except soundfile.LibsndfileError as error:
        raise DataError(f"{path}: cannot be decoded ({error})") from error
    return np.asarray(resample_poly(samples.mean(1), rate, found))

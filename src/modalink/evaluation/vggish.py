"""VGGish, of whose features published FADs are, with the weights that the user gives as a file.

Those weights are the TensorFlow ones, ported: `vggish-10086976.pth` of harritaylor/torchvggish. Each 0.96 seconds of a
sound are an example of 96 x 64 logarithms of mel bands, of which comes a vector of 128 numbers: that of the last linear
map, without an activation, without PCA and without rounding, as FAD takes it (Kilgour et al., arXiv 1812.08466).

Source: Hershey et al. 2017 (arXiv 1609.09430); tensorflow/models, research/audioset/vggish.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from modalink import hub, modalities
from modalink.errors import OptionError, PartError
from modalink.evaluation.media_files import media_files

RATE_HZ, WINDOW, HOP, BINS = 16_000, 400, 160, 512
FRAMES, BANDS, LOWEST_HZ, HIGHEST_HZ, OFFSET = 96, 64, 125.0, 7500.0, 0.01
SAMPLES = (FRAMES - 1) * HOP + WINDOW
"""Samples of one example."""
_BLOCKS = ((64,), (128,), (256, 256), (512, 512))


class Vggish(nn.Module):
    """From examples to vectors; the names of its parameters are those of torchvggish."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = 1
        for block in _BLOCKS:
            for wide in block:
                layers += [nn.Conv2d(width, wide, 3, padding=1), nn.ReLU()]
                width = wide
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        sizes = (width * FRAMES // 16 * BANDS // 16, 4096, 4096, 128)
        maps = [nn.Linear(*pair) for pair in pairwise(sizes)]
        self.embeddings = nn.Sequential(maps[0], nn.ReLU(), maps[1], nn.ReLU(), maps[2])

    def forward(self, examples: Float[Tensor, "n 96 64"]) -> Float[Tensor, "n 128"]:
        """A vector for each example; TensorFlow flattens with the channels last."""
        found: Tensor = self.embeddings(self.features(examples[:, None]).permute(0, 2, 3, 1).flatten(1))
        return found


@dataclass(frozen=True)
class VggishEncoder:
    """VGGish's features as what scoring calls a `FeatureEncoder`; it reads sounds alone.

    Args:
        weights: The file of weights, or a folder that holds it.
        batch: Examples that are encoded together.
        device: Where to compute.

    Raises:
        PartError: The file holds weights of another network.
        OptionError: Something else than sounds is to be encoded.
    """

    weights: str
    batch: int = 64
    device: str = "cpu"

    def folder(self, folder: Path, modality: str) -> Float[np.ndarray, "n 128"]:
        """Features of all examples of a folder's sounds, in alphabetical order: of these is FAD."""
        return np.concatenate([*self._each(media_files(folder, modality), modality)])

    def media(self, paths: Sequence[Any], modality: str) -> Float[np.ndarray, "n 128"]:
        """Features of sounds, files or decoded, in their order: of each the mean over its examples."""
        return np.stack([rows.mean(0) for rows in self._each(paths, modality)])

    def texts(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """Nothing: it embeds no texts."""
        raise PartError(f"{self.weights}: VGGish embeds no texts; needed an encoder of texts and sounds alike")

    def _each(self, paths: Sequence[Any], modality: str) -> Iterator[Float[np.ndarray, "n 128"]]:
        if modality != "audio":
            raise OptionError(f"{self.weights}: found {modality} to encode, and VGGish reads sounds alone")
        model = _model(self.weights, self.device)
        for path in paths:
            samples = modalities.get("audio").open(path).samples(RATE_HZ)  # type: ignore[attr-defined]
            parts = torch.from_numpy(examples(samples)).float().split(self.batch)
            with torch.inference_mode():
                yield torch.cat([model(part.to(self.device)) for part in parts]).double().cpu().numpy()


def examples(samples: Float[np.ndarray, " t"]) -> Float[np.ndarray, "n 96 64"]:
    """A sound of 16 kHz as examples one behind the other; a rest is left out, a shorter sound filled with silence."""
    sound = np.pad(samples.astype(np.float64), (0, max(0, SAMPLES - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP]
    # Hann's window as wide as one period, and magnitudes, not powers.
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    bands = np.log(np.abs(np.fft.rfft(frames * window, BINS)) @ _mel() + OFFSET)
    whole = len(bands) // FRAMES
    return bands[: whole * FRAMES].reshape(whole, FRAMES, BANDS)


@cache
def _mel() -> Float[np.ndarray, "257 64"]:
    """Triangles that are even in HTK's mels; nothing of the mean."""
    mels = _mels(np.linspace(0, RATE_HZ / 2, BINS // 2 + 1))[:, None]
    edges = np.linspace(_mels(LOWEST_HZ), _mels(HIGHEST_HZ), BANDS + 2)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    matrix = np.minimum((mels - low) / (middle - low), (high - mels) / (high - middle)).clip(min=0)
    matrix[0] = 0
    return matrix


def _mels(hertz: Any) -> Any:
    return 1127.0 * np.log1p(hertz / 700.0)


@lru_cache(maxsize=1)
def _model(weights: str, device: str) -> Any:
    # What turns the vectors into the bytes of AudioSet's release may lie beside.
    loaded = hub.load_original(Vggish, weights, names={}, dtype="float32", allow_unexpected=(r"^pproc\.",))
    return loaded.to(device)

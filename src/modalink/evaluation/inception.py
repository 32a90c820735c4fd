"""The Inception network that published FIDs are of, with the weights that the user gives as a file.

Those weights are the TensorFlow ones, ported: `pt_inception-2015-12-05-6726825d.pth` of mseitzer/pytorch-fid. The
network is torchvision's Inception v3 but for its pools of 3 x 3: TensorFlow's mean leaves the padding out, and the last
block takes the largest value.

Source: Szegedy et al. 2016; mseitzer/pytorch-fid, inception.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from modalink import hub, modalities
from modalink.errors import MissingExtraError, OptionError, PartError
from modalink.evaluation.media_files import media_files

CLASSES, SIDE_PX = 1008, 299
_MEAN: Callable[[Tensor], Tensor] = partial(
    functional.avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False
)
_LARGEST: Callable[[Tensor], Tensor] = partial(functional.max_pool2d, kernel_size=3, stride=1, padding=1)
_POOLED = ("5b", "5c", "5d", "6b", "6c", "6d", "6e", "7b")


class _PoolInstead:
    """Gives the last branch of a block another pool of what the block reads."""

    def __init__(self, block: Any, pool: Callable[[Tensor], Tensor]) -> None:
        self.pool = pool
        block.register_forward_pre_hook(self.keep)
        block.branch_pool.register_forward_pre_hook(self.replace)

    def keep(self, block: nn.Module, given: tuple[Tensor]) -> None:
        (self.read,) = given

    def replace(self, branch: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
        return (self.pool(self.read),)


def network() -> nn.Module:
    """The network, its weights not set; in evaluation mode it gives the pooled state [n 2048] of its last block.

    Raises:
        MissingExtraError: torchvision is not installed.
    """
    try:
        from torchvision.models import Inception3
    except ImportError as error:
        raise MissingExtraError("the Inception network of FID", "torchvision", "timm") from error
    built: Any = Inception3(num_classes=CLASSES, aux_logits=False, init_weights=False)
    for module in built.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.num_batches_tracked = None  # says nothing in evaluation; older files lack it
    for name in _POOLED:
        _PoolInstead(getattr(built, f"Mixed_{name}"), _MEAN)
    _PoolInstead(built.Mixed_7c, _LARGEST)
    return built


@dataclass(frozen=True)
class InceptionEncoder:
    """Inception features as what scoring calls a `FeatureEncoder`; it reads images alone.

    Args:
        weights: The file of weights, or a folder that holds it.
        batch: Images that are encoded together.
        device: Where to compute.

    Raises:
        PartError: The file holds weights of another network.
        OptionError: Something else than images is to be encoded.
    """

    weights: str
    batch: int = 32
    device: str = "cpu"

    def folder(self, folder: Path, modality: str) -> Float[np.ndarray, "n 2048"]:
        """Features of a folder's images, in alphabetical order."""
        return self.media(media_files(folder, modality), modality)

    def texts(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """Nothing: it embeds no texts."""
        raise PartError(f"{self.weights}: Inception embeds no texts; needed an encoder of texts and images alike")

    def media(self, paths: Sequence[Path], modality: str) -> Float[np.ndarray, "n 2048"]:
        """Features of image files, in their order."""
        if modality != "image":
            raise OptionError(f"{self.weights}: found {modality} to encode, and Inception reads images alone")
        model, read = _model(self.weights, self.device), modalities.get("image").read
        rows = []
        with torch.inference_mode():
            for start in range(0, len(paths), self.batch):
                pixels = torch.cat([_pixels(read(path)) for path in paths[start : start + self.batch]])
                rows.append(model(pixels.to(self.device)).double().cpu().numpy())
        return np.concatenate(rows)


@lru_cache(maxsize=1)
def _model(weights: str, device: str) -> Any:
    loaded = hub.load_original(
        network, weights, names={}, dtype="float32", allow_unexpected=(r"num_batches_tracked$", r"^AuxLogits\.")
    )
    loaded.fc = nn.Identity()
    return loaded.to(device)


def _pixels(image: Any) -> Float[Tensor, "1 3 299 299"]:
    """An image scaled as pytorch-fid scales it, without smoothing, -1 to 1."""
    pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].float() / 255
    scaled = functional.interpolate(pixels, size=(SIDE_PX, SIDE_PX), mode="bilinear", align_corners=False)
    return 2 * scaled - 1

"""Pictures to encoder input with gradients: what an image processor of transformers does, on tensors."""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from modalink.errors import PartError

_MODES = {2: "bilinear", 3: "bicubic"}


def rounded(pixels: Float[Tensor, "i c h w"]) -> Float[Tensor, "i c h w"]:
    """Colours from 0 to 1 as bytes hold them; gradients go straight through the rounding."""
    inside = pixels.clamp(0, 1)
    return inside + (inside.mul(255).round() / 255 - inside).detach()


def read_pixels(
    pixels: Float[Tensor, "i 3 h w"], settings: Mapping[str, Any], *, pad_to_square: bool
) -> Float[Tensor, "i 3 side side"]:
    """Pictures scaled, cropped and normalised as an image processor's settings say.

    Args:
        pixels: Colours from 0 to 1.
        settings: The processor's settings, for squares of one side.
        pad_to_square: Whether the short side is first filled with the mean colour.

    Raises:
        PartError: It scales in a way that has no gradients here.
    """
    if pad_to_square:
        pixels = _padded(pixels, settings["image_mean"])
    if settings.get("do_resize", True):
        pixels = _resized(pixels, settings)
    if settings.get("do_center_crop"):
        height, width = settings["crop_size"]["height"], settings["crop_size"]["width"]
        top, left = (pixels.shape[-2] - height) // 2, (pixels.shape[-1] - width) // 2
        if min(top, left) < 0:
            raise PartError(f"found a crop of {height} x {width} px in pictures of {tuple(pixels.shape[-2:])}")
        pixels = pixels[..., top : top + height, left : left + width]
    if settings.get("do_rescale", True):
        pixels = pixels * (255 * settings.get("rescale_factor", 1 / 255))
    if settings.get("do_normalize", True):
        mean, std = (pixels.new_tensor(settings[name])[:, None, None] for name in ("image_mean", "image_std"))
        pixels = (pixels - mean) / std
    return pixels


def _resized(pixels: Tensor, settings: Mapping[str, Any]) -> Tensor:
    height, width = pixels.shape[-2:]
    if (short := settings["size"].get("shortest_edge")) is not None:
        # As transformers rounds: the long side down.
        size = tuple(
            short if side == min(height, width) else int(short * side / min(height, width)) for side in (height, width)
        )
    else:
        size = settings["size"]["height"], settings["size"]["width"]
    if size == (height, width):
        return pixels
    if (mode := _MODES.get(int(settings.get("resample", 2)))) is None:
        raise PartError(f"found the resampling {settings['resample']}, needed bilinear or bicubic to have gradients")
    return rounded(functional.interpolate(pixels, size=size, mode=mode, antialias=True, align_corners=False))


def _padded(pixels: Tensor, mean: Any) -> Tensor:
    side, (height, width) = max(pixels.shape[-2:]), pixels.shape[-2:]
    colours = (pixels.new_tensor(mean) * 255).int() / 255
    top, left = (side - height) // 2, (side - width) // 2
    where = (left, side - width - left, top, side - height - top)
    filled = functional.pad(pixels - colours[:, None, None], where)
    return filled + colours[:, None, None]

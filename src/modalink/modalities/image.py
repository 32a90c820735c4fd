"""Images: read from a path, bytes, data URL, PIL image or array; checked, turned upright, made RGB."""

import os
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from modalink.errors import MediumError
from modalink.modalities import _binary
from modalink.roles import ModalityRecord

MAX_PIXELS = 89_478_485
"""Most pixels of one image, checked before decoding; equals Pillow's own warning line, so that the two agree."""
MAX_BYTES = 256 * 2**20
"""Most bytes of one encoded image."""
MAX_ASPECT = 200
"""Most times that one side may be longer than the other: fitting the short side to an encoder must stay cheap."""

# Formats whose headers tell the true size. EPS would start Ghostscript; icons hide larger images inside.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".avif", ".jp2")
_WHITE = (255, 255, 255, 255)


def read(
    source: Any, name: str | None = None, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> Image.Image:
    """Read one image; of an animation, the first frame.

    Args:
        source: Path, bytes, data URL (base64), PIL image, or array `[h w]`, `[h w 1]`, `[h w 3]` or `[h w 4]`: uint8,
            uint16, bool, or floating point from 0 to 1.
        name: What errors call it; by default its path or form.
        max_pixels: Larger images are refused by their header, before anything is decoded.
        max_bytes: Larger files are refused before they are opened.

    Returns:
        An RGB image, turned as its EXIF says; transparent parts lie on white, 16-bit values are scaled to 8.

    Raises:
        MediumError: With the reason `missing`, `unreadable`, `not_a_file`, `empty`, `not_an_image`, `truncated`,
            `damaged`, `too_large`, `too_narrow`, `remote`, `bad_data_url` or `unsupported`.
    """
    label = _binary.label(source, "image", name)
    if isinstance(source, np.ndarray):
        return _from_array(source, label, max_pixels)
    if isinstance(source, Image.Image):
        return _decoded(source, label, max_pixels)
    file = _binary.opened(source, label, max_bytes)
    if file is None:
        found = type(source).__name__
        raise MediumError(label, "unsupported", f"found a {found}, needed a path, bytes, data URL, PIL image or array")
    with file:
        return _decoded(_header(file, label, max_pixels), label, max_pixels)


def write(image: Image.Image, path: str | os.PathLike[str]) -> None:
    """Write an image in the format that the path's suffix names.

    Raises:
        MediumError: The suffix names no format, or the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        detail = f"found the suffix {suffix!r}, needed one of {', '.join(_SUFFIXES)}"
        raise MediumError(str(path), "unsupported", detail)
    try:
        image.save(path)
    except OSError as error:
        raise MediumError(str(path), "unwritable", f"cannot be written: {error}") from error


def _header(file: BytesIO | BufferedReader, label: str, max_pixels: int) -> Image.Image:
    try:
        return Image.open(file, formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        detail = f"{error} At most {max_pixels:,} pixels are read; scale it down"
        raise MediumError(label, "too_large", detail) from error
    except UnidentifiedImageError as error:
        raise MediumError(label, "not_an_image", f"is in none of the formats {', '.join(_FORMATS)}") from error
    except Exception as error:  # a broken header fails in another way in each of the formats
        raise MediumError(label, "damaged", f"has a broken header: {error}; fetch or write it again") from error


def _decoded(image: Image.Image, label: str, max_pixels: int) -> Image.Image:
    _check_size(*image.size, label, max_pixels)
    try:
        image.load()
        return _rgb(_upright(image), label)
    except (MediumError, MemoryError):
        raise
    except Exception as error:  # broken data fail in another way in each of the decoders
        cut = isinstance(error, EOFError) or any(word in str(error).lower() for word in ("truncated", "incomplete"))
        reason = "truncated" if cut else "damaged"
        raise MediumError(label, reason, f"is {reason}: {error}; fetch or write it again") from error


def _check_size(width: int, height: int, label: str, max_pixels: int) -> None:
    if min(width, height) == 0:
        raise MediumError(label, "empty", f"has {width} x {height} pixels, needed at least one")
    if width * height > max_pixels:
        detail = f"has {width} x {height} = {width * height:,} pixels, at most {max_pixels:,} are read; scale it down"
        raise MediumError(label, "too_large", detail)
    if max(width, height) > MAX_ASPECT * min(width, height):
        detail = f"has {width} x {height} pixels, one side may be at most {MAX_ASPECT} times the other; crop it"
        raise MediumError(label, "too_narrow", detail)


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # photos from the web often carry broken EXIF beside sound pixels
        return image


def _rgb(image: Image.Image, label: str) -> Image.Image:
    if image.mode == "F":
        return _rgb(_from_values(np.asarray(image), label), label)
    if image.mode.startswith("I"):
        values = np.asarray(image)
        return _rgb(_from_values(values.astype(np.uint16) if _within(values, 0.0, 65535.0) else values, label), label)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, _WHITE), layer).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_array(values: Shaped[np.ndarray, "..."], label: str, max_pixels: int) -> Image.Image:
    channels = values.shape[2] if values.ndim == 3 else 1
    if values.ndim not in (2, 3) or channels not in (1, 3, 4):
        detail = f"found an array of shape {values.shape}, needed [h w] or [h w c] with 1, 3 or 4 channels last"
        raise MediumError(label, "not_an_image", detail)
    _check_size(values.shape[1], values.shape[0], label, max_pixels)
    return _rgb(_from_values(values[:, :, 0] if values.ndim == 3 and channels == 1 else values, label), label)


def _from_values(values: Shaped[np.ndarray, "h w *c"], label: str) -> Image.Image:
    return Image.fromarray(_bytes(values, label))


def _bytes(values: Shaped[np.ndarray, "h w *c"], label: str) -> UInt8[np.ndarray, "h w *c"]:
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    if values.dtype == np.uint16:
        return np.asarray((values.astype(np.uint32) + 128) // 257, np.uint8)
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if np.issubdtype(values.dtype, np.floating) and _within(values, 0.0, 1.0):
        return np.asarray(np.rint(values * 255), np.uint8)
    span = f"{values.min()} to {values.max()}"
    detail = f"found {values.dtype} values from {span}, needed uint8, uint16, bool, or floats from 0 to 1"
    raise MediumError(label, "not_an_image", detail)


def _within(values: Shaped[np.ndarray, "..."], low: float, high: float) -> bool:
    return bool(values.min() >= low and values.max() <= high)


def example(number: int) -> Image.Image:
    """Noise of a size and proportion of its own, the same in every process."""
    size = (40 + 9 * number, max(70 - 11 * number, 8), 3)
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, size, dtype=np.uint8))


RECORD = ModalityRecord(
    name="image",
    plural="images",
    blocks=("image_url", "input_image"),
    placeholder="<image>",
    signal="[IMG{}]",
    argument="pixel_values",
    suffixes=_SUFFIXES,
    written=".png",
    read=read,
    write=write,
    example=example,
)

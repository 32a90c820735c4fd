"""Pixels of every kind made RGB and upright."""

import struct
from io import BufferedReader, BytesIO

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import ExifTags, Image, ImageOps

from modalink.errors import MediumError

_ON_ITS_SIDE = (5, 6, 7, 8)
_EXIF_IN_TEXT = (b"Raw profile type exif", b"XML:com.adobe.xmp")
_WHITE = (255, 255, 255)
_SLOW = {"JPEG2000": 8, "AVIF": 3, "WEBP": 3}


def upright(image: Image.Image) -> Image.Image:
    """An image turned as its EXIF says."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # photos from the web often carry broken EXIF beside sound pixels
        return image


def upright_size(image: Image.Image, file: BytesIO | BufferedReader | None = None) -> tuple[int, int]:
    """Width and height of an image when it is turned as its EXIF says, from its header.

    Args:
        image: The image, perhaps not decoded.
        file: What it was opened from.
    """
    width, height = image.size
    try:
        if file is not None and image.format == "PNG" and _tells_late(file):
            image.load()
        # Not a PNG's own method, which decodes the whole image to look behind its pixels. Pillow tells the size of a
        # TIFF already turned.
        turned = image.format != "TIFF" and Image.Image.getexif(image).get(ExifTags.Base.Orientation) in _ON_ITS_SIDE
    except Exception:  # as in `upright`
        return width, height
    return (height, width) if turned else (width, height)


def _tells_late(file: BytesIO | BufferedReader) -> bool:
    """Whether what may turn a PNG stands behind its pixels."""
    place, behind = file.tell(), False
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        behind = behind or kind == b"IDAT"
        start = file.tell()
        if behind and (kind == b"eXIf" or file.read(21).startswith(_EXIF_IN_TEXT)):
            break
        file.seek(start + length + 4)
    file.seek(place)
    return len(head) == 8


def work(image: Image.Image) -> int:
    """How many plain pixels' work one pixel of an image is: to decode it, and to make it RGB.

    Measured on noise, the worst case: 0.014 s for a million pixels of PNG, 0.05 of AVIF and WebP, 0.4 of JPEG 2000;
    transparency and values of more than 8 bits triple the time and the memory of what follows.
    """
    deep = image.mode == "F" or image.mode.startswith("I")
    return max(_SLOW.get(image.format or "", 1), 3 if deep or image.has_transparency_data else 1)


def rgb(image: Image.Image, label: str) -> Image.Image:
    """An image of any mode in RGB: transparent parts lie on white, 16-bit values are scaled to 8."""
    if image.mode == "F":
        return rgb(_from_values(np.asarray(image), label), label)
    if image.mode.startswith("I"):
        values = np.asarray(image)
        return rgb(_from_values(values.astype(np.uint16) if _within(values, 0.0, 65535.0) else values, label), label)
    if image.has_transparency_data:
        layer = image if image.mode == "RGBA" else image.convert("RGBA")
        ground = Image.new("RGB", layer.size, _WHITE)
        ground.paste(layer, mask=layer.getchannel("A"))
        return ground
    return image if image.mode == "RGB" else image.convert("RGB")


def array_size(values: Shaped[np.ndarray, "..."], label: str) -> tuple[int, int]:
    """Width and height of an array `[h w]` or `[h w c]`; raises `MediumError` for another shape."""
    if values.ndim not in (2, 3) or values.shape[2:] not in ((), (1,), (3,), (4,)):
        detail = f"found an array of shape {values.shape}, needed [h w] or [h w c] with 1, 3 or 4 channels last"
        raise MediumError(label, "not_an_image", detail)
    return values.shape[1], values.shape[0]


def from_array(values: Shaped[np.ndarray, "..."], label: str) -> Image.Image:
    """An array of such a shape in RGB; raises `MediumError` for values of no such kind."""
    return rgb(_from_values(values[:, :, 0] if values.shape[2:] == (1,) else values, label), label)


def _from_values(values: Shaped[np.ndarray, "h w *c"], label: str) -> Image.Image:
    return Image.fromarray(_bytes(values, label))


def _bytes(values: Shaped[np.ndarray, "h w *c"], label: str) -> UInt8[np.ndarray, "h w *c"]:
    needed = "needed uint8, uint16, bool, or floats from 0 to 1"
    if values.dtype.kind not in "buif":
        raise MediumError(label, "not_an_image", f"found values of type {values.dtype}, {needed}")
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    if values.dtype == np.uint16:
        return np.asarray((values.astype(np.uint32) + 128) // 257, np.uint8)
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if np.issubdtype(values.dtype, np.floating) and _within(values, 0.0, 1.0):
        return np.asarray(np.rint(values * 255), np.uint8)
    span = f"{values.min()} to {values.max()}"
    raise MediumError(label, "not_an_image", f"found {values.dtype} values from {span}, {needed}")


def _within(values: Shaped[np.ndarray, "..."], low: float, high: float) -> bool:
    return bool(values.min() >= low and values.max() <= high)

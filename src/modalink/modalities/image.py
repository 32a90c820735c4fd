"""Images: opened from a path, bytes, data URL, PIL image or array; checked, turned upright, made RGB."""

import hashlib
import os
from abc import abstractmethod
from functools import cached_property
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped
from PIL import Image, UnidentifiedImageError

from modalink.errors import MediumError
from modalink.modalities import _binary, _pixels, _previews
from modalink.roles import MediumHandle, ModalityRecord

MAX_PIXELS = 2**26
"""Most pixels of one image, checked before decoding; fewer where a pixel costs more work, see `_pixels.work`. Below
Pillow's own warning line, so that the two agree."""
MAX_BYTES = 256 * 2**20
"""Most bytes of one encoded image."""
MAX_ASPECT = 200
"""Most times that one side may be longer than the other: fitting the short side to an encoder must stay cheap."""

# Formats whose headers tell the true size. EPS would start Ghostscript; icons hide larger images inside.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".avif", ".jp2")


class ImageHandle(MediumHandle):
    """An image, found and checked.

    Args:
        label: What errors call it.
        width: Pixels of a row, as it is read: turned as its EXIF says.
        height: Rows.
    """

    def __init__(self, label: str, width: int, height: int) -> None:
        super().__init__(label)
        self.width, self.height = width, height

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, as images of PIL tell them."""
        return self.width, self.height

    @property
    def extent(self) -> str:
        """How large it is, for people."""
        return f"{self.width} x {self.height} px"

    @abstractmethod
    def read(self) -> Image.Image:
        """An RGB image, turned as its EXIF says; transparent parts lie on white, 16-bit values are scaled to 8."""


class _StoredImage(ImageHandle):
    def __init__(self, stored: _binary.Stored, max_pixels: int) -> None:
        self._stored, self._max_pixels = stored, max_pixels
        with stored.open() as file:
            header = _header(file, stored.label, max_pixels)
            _check_size(*header.size, stored.label, max_pixels, header)
            super().__init__(stored.label, *_pixels.upright_size(header, file))

    @property
    def digest(self) -> str:
        return self._stored.digest

    def read(self) -> Image.Image:
        with self._stored.open() as file:
            return _decoded(_header(file, self.label, self._max_pixels), self.label, self._max_pixels)


class _GivenImage(ImageHandle):
    def __init__(self, source: Image.Image | Shaped[np.ndarray, "..."], label: str, max_pixels: int) -> None:
        self._source, self._max_pixels = source, max_pixels
        width, height = _pixels.array_size(source, label) if isinstance(source, np.ndarray) else source.size
        _check_size(width, height, label, max_pixels, None if isinstance(source, np.ndarray) else source)
        super().__init__(label, *((width, height) if isinstance(source, np.ndarray) else _pixels.upright_size(source)))

    @cached_property
    def _image(self) -> Image.Image:
        if isinstance(self._source, np.ndarray):
            return _pixels.from_array(self._source, self.label)
        return _decoded(self._source, self.label, self._max_pixels)

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(repr(self._image.size).encode() + self._image.tobytes()).hexdigest()

    def read(self) -> Image.Image:
        return self._image


def open_image(
    source: Any, name: str | None = None, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> ImageHandle:
    """Find and check one image; of an animation, the first frame. Nothing is decoded.

    Args:
        source: Path, bytes, data URL (base64), PIL image, array `[h w]`, `[h w 1]`, `[h w 3]` or `[h w 4]` (uint8,
            uint16, bool, or floating point from 0 to 1), or a handle.
        name: What errors call it; by default its path or form.
        max_pixels: Larger images are refused by their header; see `MAX_PIXELS`.
        max_bytes: Larger files are refused before they are opened.

    Raises:
        MediumError: With the reason `missing`, `unreadable`, `not_a_file`, `empty`, `not_an_image`, `damaged`,
            `too_large`, `too_narrow`, `remote`, `bad_data_url` or `unsupported`; reading it, also with `truncated` or
            `changed`.
    """
    if isinstance(source, ImageHandle):
        return source
    label = _binary.label(source, "image", name)
    if isinstance(source, np.ndarray | Image.Image):
        return _GivenImage(source, label, max_pixels)
    if _binary.Stored.takes(source):
        return _StoredImage(_binary.Stored(source, label, max_bytes), max_pixels)
    found = type(source).__name__
    raise MediumError(label, "unsupported", f"found a {found}, needed a path, bytes, data URL, PIL image or array")


def read(source: Any, name: str | None = None, **limits: int) -> Image.Image:
    """Open and decode one image, see `open_image` and `ImageHandle.read`."""
    return open_image(source, name, **limits).read()


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
    _check_size(*image.size, label, max_pixels, image)
    try:
        image.load()
        return _pixels.rgb(_pixels.upright(image), label)
    except (MediumError, MemoryError):
        raise
    except Exception as error:  # broken data fail in another way in each of the decoders
        cut = isinstance(error, EOFError) or any(word in str(error).lower() for word in ("truncated", "incomplete"))
        reason = "truncated" if cut else "damaged"
        raise MediumError(label, reason, f"is {reason}: {error}; fetch or write it again") from error


def _check_size(width: int, height: int, label: str, max_pixels: int, image: Image.Image | None) -> None:
    if min(width, height) == 0:
        raise MediumError(label, "empty", f"has {width} x {height} pixels, needed at least one")
    work = 1 if image is None else _pixels.work(image)
    if width * height * work > max_pixels:
        limit = f"at most {max_pixels // work:,} are read"
        if image is not None and work > 1:
            limit += f" of mode {image.mode} in {image.format or 'memory'}, each being the work of {work} plain ones"
        detail = f"has {width} x {height} = {width * height:,} pixels, {limit}; scale it down"
        raise MediumError(label, "too_large", detail)
    if max(width, height) > MAX_ASPECT * min(width, height):
        detail = f"has {width} x {height} pixels, one side may be at most {MAX_ASPECT} times the other; crop it"
        raise MediumError(label, "too_narrow", detail)


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
    formats=tuple(suffix for suffix in _SUFFIXES if suffix != ".png"),
    open=open_image,
    write=write,
    preview=_previews.still,
    example=example,
)

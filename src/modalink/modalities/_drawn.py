"""Media that are data or documents and are seen as a picture of them, with words beside it.

They decode to an RGB image of PIL, so that every image encoder fits them; what the image was drawn from stays with it.
"""

import csv
import hashlib
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any, Generic, TypeVar

from PIL import Image

from modalink.errors import MediumError
from modalink.files import Damaged
from modalink.modalities import _binary
from modalink.modalities._plots import SIDE
from modalink.modalities.image import ImageHandle
from modalink.roles import ModalityRecord

MAX_BYTES = 16 * 2**20
"""Most bytes of a file of data."""
TOLD = 400
"""Most numbers that are told in words."""
Data = TypeVar("Data")


@dataclass(frozen=True)
class Drawing(Generic[Data]):
    """How a kind of data is seen.

    Args:
        name: The modality.
        parse: Reads a file's bytes, and makes an error of what is wrong with them.
        draw: Makes the picture.
        tell: Says in words what it shows.
        form: The content of a file of some suffix.
        size: Width and height of each picture.
    """

    name: str
    parse: Callable[[bytes, Damaged], Data]
    draw: Callable[[Data], Image.Image]
    tell: Callable[[Data], str]
    form: Callable[[Data, str], bytes]
    size: tuple[int, int] = (SIDE, SIDE)

    def open(self, source: Any, name: str | None = None) -> "DrawnHandle[Data]":
        """Find one medium: a path, bytes, data URL, an image that `read` drew, or a handle. Nothing is decoded.

        Raises:
            MediumError: It cannot be found; reading it, that it holds no such data.
        """
        if isinstance(source, DrawnHandle):
            return source
        label = _binary.label(source, self.name, name)
        if isinstance(source, Image.Image) and self.name in source.info:
            return _Given(label, self, source.info[self.name])
        if _binary.Stored.takes(source):
            return _Stored(label, self, _binary.Stored(source, label, MAX_BYTES))
        found = type(source).__name__
        raise MediumError(label, "unsupported", f"found a {found}, needed a path, bytes or data URL of a {self.name}")

    def picture(self, data: Data) -> Image.Image:
        """The picture, which remembers what it shows."""
        image = self.draw(data)
        image.info[self.name] = data
        return image

    def write(self, image: Image.Image, path: Any) -> None:
        """Write what a picture was drawn from.

        Raises:
            MediumError: It was drawn from nothing, or the file cannot be written.
        """
        if self.name not in image.info:
            raise MediumError(str(path), "unsupported", f"found a picture, needed one that shows a {self.name}'s data")
        try:
            Path(path).write_bytes(self.form(image.info[self.name], Path(path).suffix.lower()))
        except OSError as error:
            raise MediumError(str(path), "unwritable", f"cannot be written: {error}") from error


class DrawnHandle(ImageHandle, Generic[Data]):
    """A medium that is seen as a picture."""

    def __init__(self, label: str, drawing: Drawing[Data]) -> None:
        super().__init__(label, *drawing.size)
        self._drawing = drawing

    @abstractmethod
    def data(self) -> Data:
        """What the picture shows."""

    def read(self) -> Image.Image:
        """The picture."""
        try:
            return self._drawing.picture(self.data())
        except MediumError as error:
            raise MediumError(self.label, error.reason, str(error).removeprefix(f"{error.name}: ")) from None

    @property
    def text(self) -> str:
        """What the picture shows, in words."""
        return self._drawing.tell(self.data())


class _Stored(DrawnHandle[Data]):
    def __init__(self, label: str, drawing: Drawing[Data], stored: _binary.Stored) -> None:
        super().__init__(label, drawing)
        self._stored = stored

    @property
    def digest(self) -> str:
        return self._stored.digest

    def data(self) -> Data:
        reason = f"not_a_{self._drawing.name}"
        with self._stored.open() as file:
            return self._drawing.parse(file.read(), lambda text: MediumError(self.label, reason, text))


class _Given(DrawnHandle[Data]):
    def __init__(self, label: str, drawing: Drawing[Data], data: Data) -> None:
        super().__init__(label, drawing)
        self._data = data

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.read().tobytes() + self.text.encode()).hexdigest()

    def data(self) -> Data:
        return self._data


def csv_rows(content: bytes, damaged: Damaged) -> list[list[str]]:
    """The lines of a CSV file that hold something, at least one.

    Raises:
        Exception: What `damaged` makes: it is none, or its lines differ in length.
    """
    try:
        rows = [row for row in csv.reader(StringIO(content.decode("utf-8-sig")), strict=True) if row]
    except UnicodeDecodeError as error:
        raise damaged(f"is no text in UTF-8: {error.reason} at byte {error.start}") from None
    except csv.Error as error:
        raise damaged(f"is no CSV: {error}") from None
    if len({*map(len, rows)}) != 1:
        raise damaged(f"found {len(rows)} lines of values that differ in number, needed as many in each")
    return rows


def record(
    drawing: Drawing[Any], example: Callable[[int], Image.Image], suffixes: tuple[str, ...], written: str
) -> ModalityRecord:
    """The row of a modality that is seen as pictures."""
    return ModalityRecord(
        name=drawing.name,
        plural=f"{drawing.name}s",
        placeholder=f"<{drawing.name}>",
        signal=f"[{drawing.name.upper()}{{}}]",
        argument=f"{drawing.name}_values",
        like="image",
        tells=True,
        suffixes=suffixes,
        written=written,
        open=drawing.open,
        write=drawing.write,
        example=example,
    )

"""What a glTF 2.0 file holds, in one piece (.glb) or as JSON with all its data inside (.gltf): arrays and pictures.

Read here: trimesh leaves out what it does not understand (compressed or sparse arrays become zeros), and would be led
to other files by names in it. Nothing outside is opened.
"""

import base64
import binascii
import struct
from typing import Any

import numpy as np
from jaxtyping import Shaped

from modalink import json_files
from modalink.errors import MediumError, shown
from modalink.modalities import _numbers

MARK = b"glTF"
_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_HARMLESS = ("KHR_materials_", "KHR_texture_", "EXT_texture_", "KHR_lights_", "KHR_animation_", "KHR_xmp")
"""Extensions that change no place of a point."""
_JSON, _BINARY = 0x4E4F534A, 0x004E4942


class Document:
    """The tree of a glTF file, and its arrays.

    Args:
        content: The file.
        label: What errors call it.

    Raises:
        MediumError: It is truncated, damaged, needs an extension that is not read, or names data outside of it.
    """

    def __init__(self, content: bytes, label: str) -> None:
        self._label = label
        text, binary = _chunks(content, label) if content[:4] == MARK else (content, None)
        self.tree: dict[str, Any] = json_files.parse(text, self.damaged, dict[str, Any])
        asset = self.tree.get("asset")
        version = asset.get("version") if isinstance(asset, dict) else None
        if not isinstance(version, str) or not version.startswith("2."):
            raise MediumError(label, "unsupported", f"is glTF of version {shown(version)}, needed 2; write it again")
        needed = [str(name) for name in self.rows("extensionsRequired", object)]
        if foreign := [name for name in needed if not name.startswith(_HARMLESS)]:
            detail = f"needs {', '.join(foreign)[:100]}, which is not read; write it without compression"
            raise MediumError(label, "unsupported", detail)
        self._buffers = [
            self._buffer(row, binary if not number else None) for number, row in enumerate(self.rows("buffers"))
        ]

    def damaged(self, detail: str) -> MediumError:
        """The error for what is not as the format wants it."""
        return _numbers.damaged(self._label, detail)

    def rows(self, key: str, kind: type = dict) -> list[Any]:
        """A list of the tree, empty where there is none."""
        found = self.tree.get(key, [])
        if not isinstance(found, list) or not all(isinstance(row, kind) for row in found):
            raise self.damaged(f"its {key} are no list")
        return found

    def row(self, key: str, number: Any) -> dict[str, Any]:
        """One entry of a list of the tree, by its number."""
        rows = self.rows(key)
        if type(number) is not int or not 0 <= number < len(rows):
            raise self.damaged(f"it names number {shown(number)} of its {len(rows)} {key}")
        found: dict[str, Any] = rows[number]
        return found

    def count(self, accessor: Any) -> int:
        """How many rows an array has."""
        return self._whole(self.row("accessors", accessor), "count", least=1)

    def array(self, accessor: Any, kinds: str, widths: tuple[int, ...]) -> Shaped[np.ndarray, "n c"]:
        """An array; whole numbers that stand for shares are made such.

        Args:
            accessor: Its number.
            kinds: NumPy's kinds of numbers that it may have.
            widths: Numbers of a row that it may have.
        """
        row = self.row("accessors", accessor)
        kind, width = _TYPES.get(self._whole(row, "componentType")), _WIDTHS.get(str(row.get("type")), 0)
        if kind is None or np.dtype(kind).kind not in kinds or width not in widths:
            raise self.damaged(f"its array {accessor} is of another type than is needed there")
        if "sparse" in row or "bufferView" not in row:
            raise MediumError(self._label, "unsupported", "holds sparse arrays, which are not read; write it without")
        view = self.row("bufferViews", row["bufferView"])
        data = self._view(view)
        count, start, item = self.count(accessor), self._whole(row, "byteOffset"), width * np.dtype(kind).itemsize
        stride = self._whole(view, "byteStride") or item
        if stride < item or start + (count - 1) * stride + item > len(data):
            raise self.damaged(f"its array {accessor} does not lie within its data")
        flat = np.frombuffer(data, np.uint8, offset=start, count=(count - 1) * stride + item)
        table = np.lib.stride_tricks.as_strided(flat, (count, item), (stride, 1))
        values = np.ascontiguousarray(table).view(kind).reshape(count, width)
        if row.get("normalized") and values.dtype.kind in "iu":
            return np.maximum(values / np.iinfo(values.dtype).max, -1.0).astype(np.float32)
        return values

    def image(self, number: Any) -> bytes:
        """The bytes of a picture in the file."""
        row = self.row("images", number)
        return (
            self._view(self.row("bufferViews", row["bufferView"]))
            if "bufferView" in row
            else self._inside(row.get("uri"))
        )

    def _view(self, view: dict[str, Any]) -> bytes:
        number, start, length = (
            view.get("buffer"),
            self._whole(view, "byteOffset"),
            self._whole(view, "byteLength", least=1),
        )
        if type(number) is not int or not 0 <= number < len(self._buffers):
            raise self.damaged(f"it names number {shown(number)} of its {len(self._buffers)} buffers")
        if start + length > len(self._buffers[number]):
            raise self.damaged("a part of its data lies behind their end")
        return self._buffers[number][start : start + length]

    def _buffer(self, row: dict[str, Any], binary: bytes | None) -> bytes:
        data = binary if binary is not None and "uri" not in row else self._inside(row.get("uri"))
        length = self._whole(row, "byteLength", least=1)
        if len(data) < length:
            raise _numbers.truncated(self._label, len(data), length, "bytes")
        return data[:length]

    def _inside(self, uri: Any) -> bytes:
        """The data of a data URI; what lies elsewhere is not opened."""
        if not isinstance(uri, str):
            raise self.damaged("it says of data neither what they are nor where")
        head, comma, data = uri.partition(",")
        if not head.lower().startswith("data:") or not comma or not head.lower().endswith(";base64"):
            detail = f"keeps data outside, at {shown(uri[:100])}, where nothing is opened; save it in one piece (.glb)"
            raise MediumError(self._label, "outside", detail)
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise self.damaged(f"its data are no base64: {error}") from error

    def _whole(self, row: dict[str, Any], key: str, least: int = 0) -> int:
        found = row.get(key, 0)
        if type(found) is not int or not least <= found < 2**40:
            raise self.damaged(f"it holds {key} {shown(found)}, needed a whole number from {least}")
        return found


def _chunks(content: bytes, label: str) -> tuple[bytes, bytes | None]:
    """The JSON and the data of a file in one piece."""
    if len(content) < 20:
        raise MediumError(label, "truncated", "is truncated: it ends within its header; fetch it again")
    _, version, length = struct.unpack_from("<4sII", content)
    if version != 2:
        raise MediumError(label, "unsupported", f"is glTF of version {version}, needed 2; write it again")
    if length > len(content):
        raise _numbers.truncated(label, len(content), length, "bytes")
    if length < len(content):
        raise _numbers.damaged(label, f"it holds {len(content) - length:,} bytes behind its end")
    chunks: dict[int, bytes] = {}
    place = 12
    while place < length:
        if place + 8 > length or place + 8 + (size := struct.unpack_from("<I", content, place)[0]) > length:
            raise _numbers.damaged(label, "a part of it ends behind its end")
        kind = struct.unpack_from("<I", content, place + 4)[0]
        if kind in chunks or (not chunks and kind != _JSON):
            raise _numbers.damaged(label, "its parts are not JSON and data")
        chunks[kind] = content[place + 8 : place + 8 + size]
        place += 8 + size
    return chunks[_JSON], chunks.get(_BINARY)

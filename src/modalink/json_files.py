"""JSON that anybody may have written, read within bounds: the one reader of all rooms.

What is too long, too deep or too many is refused before anything is built from it, so that no file can cost more than
its own reading. What is wrong becomes an error of the room that reads, with its place and its reason.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from modalink import files
from modalink.errors import shown
from modalink.files import Damaged

LONGEST = 64 * 2**20
"""Bytes of one value, a file or a line."""
DEEPEST = 100
"""Lists and mappings inside each other."""
MOST = 2_000_000
"""Values inside one value."""
DIGITS = 308
"""Digits of one number: those of the largest float."""

_NEEDED = {"dict_type": "a mapping", "dataclass_type": "a mapping", "list_type": "a list", "string_type": "text"}
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_TO_ZERO = bytes.maketrans(b"123456789", b"0" * 9)
_LONG_NUMBER = b"0" * (DIGITS + 1)
_NO_BRACKETS = re.compile(r"[^\[\]{}]+")


def parse(content: bytes | str, damaged: Damaged, shape: Any = object, loads: Callable[[str], Any] = json.loads) -> Any:
    """The value that a JSON text says.

    Args:
        content: The text, bytes in UTF-8.
        damaged: Makes the error.
        shape: What the value must be, as pydantic understands types: `dict[str, Any]`, a dataclass, `object` for all.
        loads: Builds the value, where a reader minds more than `json.loads` does.

    Raises:
        Exception: What `damaged` makes: it is no JSON, exceeds the bounds, or has another shape.
    """
    if len(content) > LONGEST:
        raise damaged(f"holds {len(content):,} bytes of JSON or more, needed {LONGEST:,} at most")
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content.removeprefix("\ufeff")
        if beyond := excess(text):
            raise damaged(f"is no JSON that is read: {beyond}")
        value = loads(text)
    except UnicodeDecodeError as error:
        raise damaged(f"is no JSON: its byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise damaged(f"is no JSON: {_syntax(error)}") from None
    return shaped(value, damaged, shape)


def shaped(value: Any, damaged: Damaged, shape: Any) -> Any:
    """A value of JSON as what it must be, see `parse`.

    Raises:
        Exception: What `damaged` makes, of the first place that is otherwise.
    """
    try:
        return _adapter(shape).validate_python(value)
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        place = ".".join(map(str, details["loc"]))
        if details["type"] == "missing":
            raise damaged(f"the key {place!r} is missing") from None
        needed = _NEEDED.get(details["type"], details["msg"].removeprefix("Input should be "))
        where = f" under {place!r}" if place else ""
        raise damaged(f"found {shown(details['input'])}{where}, needed {needed}") from None


def read(path: Path, damaged: Damaged, shape: Any = object, *, remedy: str = "") -> Any:
    """The value that a JSON file says.

    Args:
        path: The file.
        damaged: Makes the error.
        shape: What the value must be, see `parse`.
        remedy: What its reader can do, the end of the message.

    Raises:
        Exception: What `damaged` makes: the file is absent or cannot be read, or as for `parse`.
    """

    def of_file(detail: str) -> Exception:
        return damaged(f"{path}: {detail}" + (f"; {remedy}" if remedy else ""))

    return parse(files.content(path, of_file, LONGEST), of_file, shape)


def lines(path: Path, damaged: Damaged, shape: Any = object, *, remedy: str = "") -> Iterator[Any]:
    """The values of a file of JSON lines, those that have an end; a file that is absent has none.

    Whoever is killed while writing, or still writes, leaves half a line.

    Args:
        path: The file.
        damaged: Makes the error.
        shape: What each value must be, see `parse`.
        remedy: What its reader can do, the end of the message.

    Raises:
        Exception: What `damaged` makes, with the number of the line, from 1.
    """
    number = 0

    def of_line(detail: str) -> Exception:
        return damaged(f"{path}, line {number}: {detail}" + (f"; {remedy}" if remedy else ""))

    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            while line := file.readline(LONGEST + 1):
                number += 1
                if line.endswith(b"\n") or len(line) > LONGEST:
                    yield parse(line, of_line, shape)
    except OSError as error:
        raise damaged(f"{path}: cannot be read: {error.strerror or error}") from None


def excess(text: str) -> str | None:
    """Which bound a text exceeds, None for none; only what may exceed one costs more than a glance."""
    brackets = text.count("[") + text.count("{")
    few = brackets <= DEEPEST and brackets + text.count(",") <= MOST
    if few and not _holds_long_number(text):
        return None
    bare = _STRING.sub("", text)
    if bare.count("[") + bare.count("{") + bare.count(",") > MOST:
        return f"it holds more than {MOST:,} values"
    if _holds_long_number(bare):
        return f"it holds a number of more than {DIGITS} digits"
    steps = (1 if bracket in "[{" else -1 for bracket in _NO_BRACKETS.sub("", bare))
    if max(accumulate(steps), default=0) > DEEPEST:
        return f"it is nested deeper than {DEEPEST} levels"
    return None


def _holds_long_number(text: str) -> bool:
    return len(text) > DIGITS and _LONG_NUMBER in text.encode("utf-8", "surrogatepass").translate(_TO_ZERO)


def _syntax(error: json.JSONDecodeError) -> str:
    if not error.doc.strip():
        return "it is empty"
    found = f"found {error.doc[error.pos : error.pos + 20]!r}" if error.pos < len(error.doc) else "it ends"
    return f"{found} at line {error.lineno}, column {error.colno}: {error.msg}"


@cache
def _adapter(shape: Any) -> Any:
    return TypeAdapter(shape)

"""JSON text read in chunks, one value at a time."""

import json
from collections import Counter
from collections.abc import Iterator
from io import TextIOBase
from pathlib import Path
from typing import Any

from modalink import json_files
from modalink.errors import DataError, shown
from modalink.scoring._row import Limits, shown_path


class KeyTwiceError(ValueError):
    """A mapping has a key twice, of which the last would win."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise KeyTwiceError(f"found the key {shown(twice)} twice in one mapping, needed every key once")
    return fields


DECODER = json.JSONDecoder(object_pairs_hook=_once)
_PLAIN = json.JSONDecoder()


class JsonText:
    """JSON text read in chunks; hands out one value at a time and forgets what was read."""

    def __init__(self, file: TextIOBase, path: Path, limits: Limits) -> None:
        self.file, self.path, self.limits = file, path, limits
        self.buffer, self.at, self.done, self.last = "", 0, False, ""

    def _more(self, size: int) -> None:
        chunk = self.file.read(size)
        self.done = chunk == ""
        self.buffer, self.at = self.buffer[self.at :] + chunk, 0

    def peek(self) -> str:
        """The next character that is no white space, "" at the end."""
        while True:
            while self.at < len(self.buffer):
                if not self.buffer[self.at].isspace():
                    return self.buffer[self.at]
                self.at += 1
            if self.done:
                return ""
            self._more(self.limits.chunk)

    def take(self, *wanted: str) -> str:
        """Step over one of the wanted characters."""
        character = self.peek()
        if character not in wanted or not character:
            raise self.damaged(f"found {character or 'the end of the file'!r}, needed {' or '.join(map(repr, wanted))}")
        self.at += 1
        return character

    def value(self, limit: int | None = None, decoder: json.JSONDecoder = DECODER) -> Any:
        """The next value, whole; by default as long as a row may be."""
        limit = self.limits.longest if limit is None else limit
        self.peek()
        while True:
            try:
                value, end = decoder.raw_decode(self.buffer, self.at)
                # A number may go on in the next chunk.
                if end < len(self.buffer) or self.done:
                    if beyond := json_files.excess(self.buffer[self.at : end]):
                        raise self.damaged(beyond)
                    self.at = end
                    self.last = self.buffer[max(0, end - 40) : end]
                    return value
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos >= len(self.buffer) - 16
                if self.done or not cut:
                    raise self.damaged(error.msg) from error
            except RecursionError:
                raise self.damaged(f"it is nested deeper than {json_files.DEEPEST} levels") from None
            except ValueError as error:
                if isinstance(error, DataError):
                    raise
                raise self.damaged(str(error)) from None
            if len(self.buffer) - self.at > limit:
                raise self.damaged(f"one value is longer than {limit} characters")
            self._more(max(self.limits.chunk, len(self.buffer) - self.at))

    def items(self) -> Iterator[Any]:
        """The values of the array that comes next."""
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.take(",", "]") == "]":
                return

    def keys(self) -> Iterator[str]:
        """The keys of the object that comes next; who iterates takes each value before the next key."""
        self.take("{")
        if self.peek() == "}":
            self.take("}")
            return
        while True:
            if self.peek() != '"':
                raise self.damaged(f"found {self.peek()!r}, needed a key in double quotes")
            key = self.value()
            self.take(":")
            yield key
            if self.take(",", "}") == "}":
                return

    def holds_lines(self) -> bool:
        """Whether the file is a run of values, not one; only the first chunk is asked."""
        try:
            self.value(self.limits.chunk, _PLAIN)
        except DataError:
            return False
        return self.peek() != ""

    def end(self) -> None:
        """Nothing may follow."""
        if self.peek():
            raise self.damaged(f"found {self.peek()!r} after the end of the array")

    def damaged(self, what: str) -> DataError:
        """The error of text that is no JSON, with what was read before."""
        after = f" after {self.last!r}" if self.last else ""
        return DataError(f"{shown_path(self.path)}: not valid JSON{after}: {what}")

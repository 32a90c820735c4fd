"""YAML that anybody may have written, read within bounds as plain data that still knows its lines: the one reader.

PyYAML raises whatever its parts raise, follows aliases however often they stand for each other, and is slow; so what
is too long, too deep or too many is refused, and all that goes wrong becomes an error of the room that reads.
"""

import re
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from modalink import files
from modalink.errors import shown
from modalink.files import Damaged

LONGEST = 2**20
"""Bytes of a text."""
DEEPEST = 50
"""Lists and mappings inside each other."""
MOST = 10_000
"""Values of a text, those that aliases repeat counted again."""
DIGITS = 308
"""Characters of one number; the largest float has as many digits."""

Loc = tuple[str | int, ...]
"""Keys and indices that lead to a value."""


def dotted(loc: Loc) -> str:
    """A place as it is written in overrides, for example `stages.0.batch`."""
    return ".".join(str(step) for step in loc)


@dataclass
class Document:
    """Plain data, and for each path into it the place where it was written."""

    data: Any
    places: dict[Loc, str] = field(default_factory=dict)

    def place(self, loc: Loc) -> str:
        """Where the value at a path was written, or the nearest thing around it."""
        while loc not in self.places and loc:
            loc = loc[:-1]
        return self.places.get(loc, "")


def parse(text: str, name: str, damaged: Damaged) -> Document:
    """Read YAML text.

    Args:
        text: The text.
        name: What errors call it, for example its file name.
        damaged: Makes the error.

    Raises:
        Exception: What `damaged` makes: it is no YAML, says a key twice, refers to itself, or exceeds the bounds; the
            message names the line.
    """
    if len(text) > LONGEST:
        raise damaged(f"{name}: holds {len(text):,} characters of YAML or more, needed {LONGEST:,} at most")
    try:
        document = _parsed(text, name)
    except ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise damaged(f"{name}, line {line}: found {chr(error.character)!r}, which YAML forbids") from None
    except _NotRead as error:
        raise damaged(str(error)) from None
    except yaml.MarkedYAMLError as error:
        raise damaged(_syntax(error, name)) from None
    return Document(deepcopy(document.data), dict(document.places))


def read(path: Path, damaged: Damaged, *, name: str | None = None, remedy: str = "") -> Document:
    """Read a YAML file.

    Args:
        path: The file, in UTF-8.
        damaged: Makes the error.
        name: What errors call it, by default its path.
        remedy: What its reader can do, the end of the message.

    Raises:
        Exception: What `damaged` makes: the file is absent or cannot be read, or as for `parse`.
    """

    def of_file(detail: str) -> Exception:
        return damaged(detail + (f"; {remedy}" if remedy else ""))

    return parse(written(path, of_file, name=name), name or str(path), of_file)


def written(path: Path, damaged: Damaged, *, name: str | None = None) -> str:
    """The text of a YAML file as it stands, comments included; arguments and errors as for `read`.

    Of a text that is too long, which `parse` refuses, its beginning.
    """
    content = files.content(path, lambda detail: damaged(f"{path}: {detail}"), LONGEST)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise damaged(f"{name or path}: byte {error.start} is not UTF-8; needed a YAML file") from None


class _NotRead(Exception):
    """What is wrong, with its line."""


@lru_cache(maxsize=256)
def _parsed(text: str, name: str) -> Document:
    """The document of a text; one process reads the same recipes again and again, with what they extend."""
    loader = _Loader(text)
    try:
        return _Reading(loader, name).document()
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """PyYAML reads YAML 1.1, where `1e-3` is text; recipes are full of such numbers."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = self.count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """The next node, unless it lies too deep or is one too many."""
        self.depth, self.count = self.depth + 1, self.count + 1
        if self.depth > DEEPEST or self.count > MOST:
            excess = f"deeper than {DEEPEST} levels" if self.depth > DEEPEST else f"more than {MOST:,} values"
            raise yaml.MarkedYAMLError(problem=excess, problem_mark=self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d[\d_]*)(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


class _Reading:
    """One text on its way from nodes to data."""

    def __init__(self, loader: _Loader, name: str) -> None:
        self.loader, self.name = loader, name
        self.places: dict[Loc, str] = {}
        self.count = 0

    def document(self) -> Document:
        node = self.loader.get_single_node()
        if node is None:
            return Document(None, {(): self.name})
        return Document(self.value(node, (), 0), self.places)

    def value(self, node: yaml.Node, loc: Loc, depth: int) -> Any:
        """The data of a node; `depth` counts also what merge keys bring in."""
        self.places[loc] = place = self.place(node)
        self.count += 1
        if depth > DEEPEST:
            raise _NotRead(f"{place}: deeper than {DEEPEST} levels; does an anchor hold itself?")
        if self.count > MOST:
            raise _NotRead(f"{place}: more than {MOST:,} values, those that aliases repeat counted again")
        if isinstance(node, yaml.CollectionNode) and node.tag not in _PLAIN:
            raise _NotRead(f"{place}: found the tag {shown(node.tag)}, needed plain lists and mappings")
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*loc, i), depth + 1) for i, child in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self.merged(node, loc, depth) | self.own(node, loc, depth)
        return self.scalar(node)

    def merged(self, node: yaml.MappingNode, loc: Loc, depth: int) -> dict[Any, Any]:
        """What the merge keys of a mapping bring in; of two, the first counts."""
        found: dict[Any, Any] = {}
        for key, given in node.value:
            if key.tag == _MERGE:
                for base in given.value if isinstance(given, yaml.SequenceNode) else [given]:
                    if not isinstance(base, yaml.MappingNode):
                        raise _NotRead(f"{self.place(base)}: a merge key `<<` needs mappings")
                    found = self.value(base, loc, depth + 1) | found
        return found

    def own(self, node: yaml.MappingNode, loc: Loc, depth: int) -> dict[Any, Any]:
        """The keys that a mapping says itself."""
        found: dict[Any, Any] = {}
        for key_node, child in node.value:
            if key_node.tag == _MERGE:
                continue
            place = self.place(key_node)
            key = self.scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str | int):
                raise _NotRead(f"{place}: a key must be a word, not a list or mapping")
            if key in found:
                raise _NotRead(f"{place}, {dotted((*loc, key))}: this key was given before; keep one")
            found[key] = self.value(child, (*loc, key), depth + 1)
            self.places[(*loc, key)] = place
        return found

    def scalar(self, node: yaml.Node) -> Any:
        try:
            if node.tag in _NUMBERS and len(node.value) > DIGITS:
                raise ValueError(f"a number of more than {DIGITS} characters")
            return self.loader.construct_object(node)
        except yaml.MarkedYAMLError:
            raise
        except Exception as error:  # PyYAML's constructors raise whatever their way through a bad value raises
            kind = node.tag.rpartition(":")[2]
            raise _NotRead(f"{self.place(node)}: found {shown(node.value)}, which is no {kind} of YAML") from error

    def place(self, node: yaml.Node) -> str:
        return f"{self.name}, line {node.start_mark.line + 1}"


_PLAIN = ("tag:yaml.org,2002:seq", "tag:yaml.org,2002:map")
_MERGE = "tag:yaml.org,2002:merge"
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def _syntax(error: yaml.MarkedYAMLError, name: str) -> str:
    mark = error.problem_mark or error.context_mark
    place = f"{name}, line {mark.line + 1}" if mark else name
    if "'\\t'" in (error.problem or ""):
        return f"{place}: found a tab, needed spaces: YAML indents with spaces only"
    return f"{place}: this is no YAML: {error.problem or error.context}"

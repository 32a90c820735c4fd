"""YAML as plain data that still knows which line each value came from."""

import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.reader import ReaderError

from modalink.errors import RecipeError
from modalink.recipe.errors import Loc, dotted


class _Loader(yaml.SafeLoader):
    """PyYAML reads YAML 1.1, where `1e-3` is text; recipes are full of such numbers."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d[\d_]*)(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


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


def read(text: str, name: str) -> Document:
    """Read YAML text.

    Args:
        text: The text.
        name: What errors call it, for example its file name.

    Raises:
        RecipeError: It is no YAML, says a key twice, or refers to itself; the message names the line.
    """
    try:
        loader = _Loader(text)
    except ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise RecipeError(f"{name}, line {line}: found {chr(error.character)!r}, which YAML forbids") from None
    try:
        node = loader.get_single_node()
        if node is None:
            return Document(None, {(): name})
        places: dict[Loc, str] = {}
        return Document(_value(loader, node, (), places, name), places)
    except yaml.MarkedYAMLError as error:
        raise RecipeError(_syntax(error, name)) from None
    finally:
        loader.dispose()


def read_value(text: str, name: str) -> Any:
    """The value that a piece of YAML text spells; empty text is None."""
    return read(text, name).data


def _value(loader: _Loader, node: yaml.Node, loc: Loc, places: dict[Loc, str], name: str) -> Any:
    places[loc] = f"{name}, line {node.start_mark.line + 1}"
    if len(loc) > 50:
        raise RecipeError(f"{places[loc]}: deeper than 50 levels; does an anchor hold itself?")
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, child, (*loc, i), places, name) for i, child in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return _mapping(loader, node, loc, places, name)
    return loader.construct_object(node)


def _mapping(loader: _Loader, node: yaml.MappingNode, loc: Loc, places: dict[Loc, str], name: str) -> dict[Any, Any]:
    own = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and not key.tag.endswith(":merge")]
    for i, (key, _) in enumerate(node.value):
        if isinstance(key, yaml.ScalarNode) and key.value in own[:i] and own.count(key.value) > 1:
            path = dotted((*loc, key.value))
            raise RecipeError(f"{name}, line {key.start_mark.line + 1}, {path}: this key was given before; keep one")
    loader.flatten_mapping(node)
    result: dict[Any, Any] = {}
    for key_node, child in node.value:
        key, place = loader.construct_object(key_node), f"{name}, line {key_node.start_mark.line + 1}"
        if not isinstance(key, str | int):
            raise RecipeError(f"{place}: a key must be a word, not a list or mapping")
        result[key] = _value(loader, child, (*loc, key), places, name)
        places[(*loc, key)] = place
    return result


def _syntax(error: yaml.MarkedYAMLError, name: str) -> str:
    mark = error.problem_mark or error.context_mark
    place = f"{name}, line {mark.line + 1}" if mark else name
    if "'\\t'" in (error.problem or ""):
        return f"{place}: found a tab, needed spaces: YAML indents with spaces only"
    return f"{place}: this is no YAML: {error.problem or error.context}"

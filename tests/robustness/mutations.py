"""Damaged inputs as hypothesis strategies: what fails shrinks to the smallest damage that fails."""

import copy
import json
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

_TOKENS = (
    b"\x00", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"\r", b"\x1b[31m", b"{", b"}", b"[", b"]", b'"', b":", b"- ", b"&a ", b"*a",
    b"<<: *a", b"!!python/object/apply:os.system ['true']", b"!!int x", b"!!float x", b"!!timestamp 2020-13-01", b"NaN", b"Infinity", b"1e999",
    b"-1", b"0", b"9" * 400, b"null", b"true", b"\\ud800", b"../../../../etc/passwd", b"/etc/passwd", b"<image>", b"[" * 2000, b"a" * 5000,
    b"{{ ''.__class__ }}", b"{% for a in range(999999) %}{% endfor %}",
)  # fmt: skip

_deep_list: Any = []
_deep_object: Any = {}
for _ in range(300):
    _deep_list, _deep_object = [_deep_list], {"a": _deep_object}

ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 3, 10**9, -(10**18), 10**300, 0.5, -0.0, 1e308, float("nan"), float("inf"), "", " ", "a", "0", "null", "none",
    "auto", "\ud800", "\x00", "\x1b[2J", "a" * 5000, "../../../etc/passwd", "/etc/passwd", "/dev/zero", "http://127.0.0.1:9/x", "zoo:llm", "<image>",
    "data:image/png;base64,AAAA", "os.system", "__import__", "{{ 1/0 }}", [], [None], [[]], ["a", "b"], [1, 2, 3], {}, {"a": 1}, {"kind": "linear"},
    {"type": "image"}, {"bytes": "AAAA"}, {"path": "/etc/passwd"}, _deep_list, _deep_object,
)  # fmt: skip
"""One of each kind of JSON value that may stand where another was meant."""

_share = st.integers(0, 10**6).map(lambda number: number / (10**6 + 1))


def damaged_bytes(content: bytes, *, edits: int = 3) -> st.SearchStrategy[bytes]:
    """The content with a few bytes changed, taken out, put in, repeated or cut off."""
    edit = st.tuples(st.sampled_from(sorted(_BYTE_EDITS)), _share, _share, st.sampled_from(_TOKENS))
    return st.lists(edit, min_size=1, max_size=edits).map(lambda chosen: _edited(content, chosen))


def _edited(content: bytes, edits: Sequence[tuple[str, float, float, bytes]]) -> bytes:
    for kind, where, far, token in edits:
        start = int(where * (len(content) + 1))
        content = _BYTE_EDITS[kind](content, start, start + int(far * 64) + 1, token)
    return content


_BYTE_EDITS: dict[str, Callable[[bytes, int, int, bytes], bytes]] = {
    "cut": lambda content, start, end, token: content[:start],
    "drop": lambda content, start, end, token: content[:start] + content[end:],
    "flip": lambda content, start, end, token: content[:start] + bytes(255 - b for b in content[start:end]) + content[end:],
    "insert": lambda content, start, end, token: content[:start] + token + content[start:],
    "repeat": lambda content, start, end, token: content[:end] + content[start:],
    "replace": lambda content, start, end, token: content[:start] + token + content[end:],
}  # fmt: skip


def damaged_tree(tree: Any, *, edits: int = 3) -> st.SearchStrategy[Any]:
    """JSON data with a few values replaced, taken out, wrapped, swapped or renamed."""
    edit = st.tuples(st.sampled_from(("replace", "drop", "wrap", "move", "rename", "add")), _share, _share, st.sampled_from(ODD))  # fmt: skip
    return st.lists(edit, min_size=1, max_size=edits).map(lambda chosen: _replanted(tree, chosen))


def _replanted(tree: Any, edits: Sequence[tuple[str, float, float, Any]]) -> Any:
    tree = copy.deepcopy(tree)
    for kind, where, other, value in edits:
        places = [(holder, key) for holder, key in _places(tree)]
        if not places:
            return value
        holder, key = places[int(where * len(places))]
        value = copy.deepcopy(value)  # a later edit may change it in its place
        if kind == "drop":
            del holder[key]
        elif kind == "wrap":
            holder[key] = [holder[key]]
        elif kind == "move":
            giver, name = places[int(other * len(places))]
            holder[key] = copy.deepcopy(giver[name])
        elif kind == "rename" and isinstance(holder, dict):
            holder[value if isinstance(value, str) else "renamed"] = holder.pop(key)
        elif kind == "add" and isinstance(holder[key], dict):
            holder[key]["added"] = value
        else:
            holder[key] = value
    return tree


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every place in the tree as its holder and its key there; what is nested deep counts once."""
    found, waiting, depth = [], [(tree, 0)], 12
    while waiting:
        node, level = waiting.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        for key in keys:
            found.append((node, key))
            if level < depth:
                waiting.append((node[key], level + 1))
    return found


def as_json(tree: Any) -> str:
    """The tree as the JSON that a careless program writes: NaN and lone surrogates as they are."""
    return json.dumps(tree)

"""A tokenizer's twin for texts that spell out its special tokens: there they are words, and act nowhere else.

The twin has the same ids. Its special tokens are spelled in signs that nobody writes, as long as their names, so that a
prompt whose own special tokens are spelled so has the same characters at the same places, and what people wrote is read
by the vocabulary alone.
"""

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from modalink.errors import PromptError
from modalink.prompts.template import Rendered

# Planes 15 and 16 of Unicode: for private use.
_FIRST, _FILL = 0xF0000, "\U0010fffd"


@dataclass(frozen=True)
class Twin:
    """A tokenizer whose special tokens are spelled otherwise.

    Args:
        tokenizer: The tokenizer.
        spelling: Special token -> how the twin spells it, with as many characters.
    """

    tokenizer: PreTrainedTokenizerBase
    spelling: Mapping[str, str]

    def respelled(self, rendered: Rendered) -> str:
        """A prompt in which the special tokens that the template wrote, and no others, are those of the twin."""
        longest_first = sorted(self.spelling, key=len, reverse=True)
        token = re.compile("|".join(map(re.escape, longest_first)))
        pieces, end = [], 0
        for start, stop in (*sorted(rendered.written), (len(rendered.text), len(rendered.text))):
            pieces.append(token.sub(lambda found: self.spelling[found[0]], rendered.text[end:start]))
            pieces.append(rendered.text[start:stop])
            end = max(end, stop)
        return "".join(pieces)


_TWINS: WeakKeyDictionary[PreTrainedTokenizerBase, tuple[dict[str, int], Twin]] = WeakKeyDictionary()
_BUILDING = threading.Lock()


def twin_of(tokenizer: PreTrainedTokenizerBase, special: Mapping[str, int]) -> Twin:
    """The twin of a tokenizer, built once and anew when it gets further special tokens.

    Args:
        tokenizer: A fast tokenizer.
        special: Its special tokens and their ids.

    Raises:
        PromptError: It cannot be taken apart.
    """
    with _BUILDING:
        known, twin = _TWINS.get(tokenizer, (None, None))
        if twin is None or known != special:
            twin = _built(tokenizer, special)
            _TWINS[tokenizer] = dict(special), twin
        return twin


def _built(tokenizer: PreTrainedTokenizerBase, special: Mapping[str, int]) -> Twin:
    names = {token: chr(_FIRST + n) + _FILL * (len(token) - 1) for n, token in enumerate(special)}
    try:
        data = json.loads(tokenizer.backend_tokenizer.to_str())
        _respell(data, names)
        backend = Tokenizer.from_str(json.dumps(data, ensure_ascii=False))
    except Exception as error:  # a part written in Python, or a model of another layout, each fails in its own way
        raise _cannot(tokenizer, str(error)) from error
    if moved := [token for token, name in names.items() if backend.token_to_id(name) != special[token]]:
        raise _cannot(tokenizer, f"its token {moved[0]!r} has another id when it is called otherwise")
    return Twin(PreTrainedTokenizerFast(tokenizer_object=backend), names)


def _cannot(tokenizer: PreTrainedTokenizerBase, reason: str) -> PromptError:
    return PromptError(
        f"a text spells out a special token, and {type(tokenizer).__name__} cannot read it as words: {reason}; "
        "write it differently"
    )


def _respell(data: dict[str, Any], names: Mapping[str, str]) -> None:
    """Call special tokens otherwise wherever the tokenizer's JSON names them."""
    data["truncation"] = data["padding"] = None
    for token in data["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    model = data["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {names.get(token, token): index for token, index in model["vocab"].items()}
    else:  # a unigram model: pieces with their scores
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    if "merges" in model:
        model["merges"] = [merge for merge in model["merges"] if not _names_one(merge, names)]


def _names_one(merge: Any, names: Mapping[str, str]) -> bool:
    parts = merge.split(" ") if isinstance(merge, str) else merge
    return any(token in names for token in (*parts, "".join(parts)))

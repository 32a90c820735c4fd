"""From a rendered conversation to token ids and labels, by the character offsets of one tokenisation.

The whole text is tokenised once and nothing is tokenised again, so that the labels can never disagree with the ids.
Four rules decide what a token stands for:

- A token that touches a labelled span carries loss, even where it also holds characters before or after the span
  (sentencepiece-like merges, stop signs that merge with the next line): no character of an answer is left unlearned.
- A token of no width is white space that the tokenizer trimmed from its offsets; it stands for the character before.
- What people and data wrote never acts: where it spells out a special token, the tokenizer's twin reads the prompt.
- Byte-fallback tokens share the offsets of their character; offsets always count characters of the original text,
  whatever a normaliser (lower-casing, NFKC) makes of it.
"""

import unicodedata
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from modalink.conversation import Medium
from modalink.errors import PromptError
from modalink.prompts.template import Rendered, Span
from modalink.prompts.twin import twin_of

IGNORED = -100
"""Label of a token without loss."""


@dataclass
class Tokenized:
    """Token ids, labels of the same length (-100 where no loss), and the index of each medium's first token."""

    input_ids: list[int]
    labels: list[int]
    media: list[int]


def tokenize(rendered: Rendered, tokenizer: PreTrainedTokenizerBase, *, frame: bool = False) -> Tokenized:
    """Tokenise a rendered conversation.

    Args:
        rendered: The conversation.
        tokenizer: A fast tokenizer.
        frame: Add the tokens with which the tokenizer begins and ends a text.

    Raises:
        PromptError: The tokenizer gives no offsets, lacks a special token or a placeholder, or cannot read one that a
            text spells out as words.
    """
    if not tokenizer.is_fast:
        raise PromptError(f"{type(tokenizer).__name__} gives no character offsets; use the model's fast tokenizer")
    special = _special(tokenizer)
    for token in rendered.specials:
        if token not in special:
            raise PromptError(
                f"{rendered.id}: the template writes {token!r}, which is no special token of this tokenizer; "
                "choose a template of this LLM, let it learn the token (`prompt: {add_tokens: true}` in the recipe, "
                "and llm.new_tokens in a stage's train), or get the template with prompts.get(name, tokenizer)"
            )
    ids, spans = _encode(rendered, tokenizer, special, frame)
    acting = set(special.values())
    labelled = _Spans(rendered.learned)
    labels = [token if labelled.touch(span) else IGNORED for token, span in zip(ids, spans, strict=True)]
    return Tokenized(ids, labels, [_first_token(rendered, item[:3], ids, spans, acting) for item in rendered.media])


def reader(text: str, tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """A tokenizer with the same ids that reads all of a text as words: the given one, or its twin.

    Raises:
        PromptError: The text spells out a special token, and the tokenizer cannot read it as words.
    """
    special = _special(tokenizer)
    acts = not {*special.values()}.isdisjoint(tokenizer(text, add_special_tokens=False).input_ids) if text else False
    return twin_of(tokenizer, special).tokenizer if acts else tokenizer


def _special(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    # Not `all_special_ids`, which leaves out tokens that were added beside the named ones.
    return {token.content: index for index, token in tokenizer.added_tokens_decoder.items() if token.special}


def _encode(
    rendered: Rendered, tokenizer: PreTrainedTokenizerBase, special: dict[str, int], frame: bool
) -> tuple[list[int], list[Span]]:
    ids, spans = _encoded(rendered.text, rendered.bos, tokenizer, special, frame)
    if _spelled_out(rendered, ids, spans, special) is None:
        return ids, spans
    twin = twin_of(tokenizer, special)
    ids, spans = _encoded(twin.respelled(rendered), rendered.bos, twin.tokenizer, special, frame)
    # The unknown token is what the vocabulary has for words that it lacks.
    others = {token: index for token, index in special.items() if token != tokenizer.unk_token}
    if found := _spelled_out(rendered, ids, spans, others):
        raise PromptError(
            f"{rendered.id}: a text spells out {found!r}, a special token of this LLM, which its tokenizer cannot read "
            "as words; write it differently"
        )
    return ids, spans


def _encoded(
    text: str, bos: str, tokenizer: PreTrainedTokenizerBase, special: dict[str, int], frame: bool
) -> tuple[list[int], list[Span]]:
    # The opening bos goes in as an id: some tokenizers treat the first word after a spelled-out bos as one that
    # stands inside a text ("A" instead of "▁A"), unlike the tokenisation their LLM was trained on.
    shift = len(bos)
    encoded = tokenizer(
        text[shift:], add_special_tokens=frame, return_offsets_mapping=True, verbose=False, truncation=False
    )
    ids: list[int] = encoded["input_ids"]
    spans = [(shift + min(start, end - 1), shift + end) for start, end in encoded["offset_mapping"]]
    return ([special[bos], *ids], [(0, shift), *spans]) if bos else (ids, spans)


def _spelled_out(rendered: Rendered, ids: list[int], spans: list[Span], special: dict[str, int]) -> str | None:
    """A special token made of characters that people or data wrote; None where there is none."""
    names = {index: name for name, index in special.items()}
    written = _Spans(rendered.written)
    for token, (start, end) in zip(ids, spans, strict=True):
        if token not in names:
            continue
        found = rendered.text[start:end].strip()
        # A token that stands for something else than its name does not act: the unknown token for a word that the
        # tokenizer does not know, byte tokens for a character.
        if _folded(found) == _folded(names[token]) and written.touch(_stripped(rendered.text, (start, end))):
            return found
    return None


def _folded(text: str) -> str:
    # The tokenizer may look for its special tokens after lower-casing or NFKC.
    return unicodedata.normalize("NFKC", text).casefold()


def _stripped(text: str, span: Span) -> Span:
    # A special token may swallow the white space beside it, which acts on nothing.
    start, end = span
    kept = text[start:end].lstrip()
    return end - len(kept), end - len(kept) + len(kept.rstrip())


def _first_token(
    rendered: Rendered, item: tuple[int, int, Medium], ids: list[int], spans: list[Span], acting: set[int]
) -> int:
    start, end, medium = item
    first = bisect_right(spans, start, key=lambda span: span[0]) - 1
    last = bisect_left(spans, end, key=lambda span: span[0]) - 1
    if first < 0 or spans[last][1] > end or any(token not in acting for token in ids[first : last + 1]):
        raise PromptError(
            f"{rendered.id}: {rendered.text[start:end]!r:.60} stands for a medium of modality {medium.modality!r} and "
            "is not made of special tokens of this tokenizer; add them with add_tokens(..., special_tokens=True)"
        )
    return first


class _Spans:
    """Sorted spans that do not overlap."""

    def __init__(self, spans: list[Span]) -> None:
        self.spans = sorted(span for span in spans if span[1] > span[0])
        self.ends = [end for _, end in self.spans]

    def touch(self, span: Span) -> bool:
        """Whether any of them shares a character with this one."""
        first = bisect_right(self.ends, span[0])
        return first < len(self.spans) and self.spans[first][0] < span[1]

"""From a rendered conversation to token ids and labels, by the character offsets of one tokenisation.

The whole text is tokenised once and nothing is tokenised again, so that the labels can never disagree with the ids.
Three rules decide what a token stands for:

- A token that touches a labelled span carries loss, even where it also holds characters before or after the span
  (sentencepiece-like merges, stop signs that merge with the next line): no character of an answer is left unlearned.
- A token of no width is white space that the tokenizer trimmed from its offsets; it stands for the character before.
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

IGNORED = -100
"""Label of a token without loss."""


@dataclass
class Tokenized:
    """Token ids, labels of the same length (-100 where no loss), and the index of each medium's first token."""

    input_ids: list[int]
    labels: list[int]
    media: list[int]


def tokenize(rendered: Rendered, tokenizer: PreTrainedTokenizerBase) -> Tokenized:
    """Tokenise a rendered conversation.

    Raises:
        PromptError: The tokenizer gives no offsets, lacks a special token or a placeholder, or a text spells one out.
    """
    if not tokenizer.is_fast:
        raise PromptError(f"{type(tokenizer).__name__} gives no character offsets; use the model's fast tokenizer")
    # Not `all_special_ids`, which leaves out tokens that were added beside the named ones.
    special = {token.content: index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    for token in rendered.specials:
        if token not in special:
            raise PromptError(
                f"{rendered.id}: the template writes {token!r}, which is no special token of this tokenizer; "
                "choose a template of this LLM, or get the template with prompts.get(name, tokenizer)"
            )
    ids, spans = _encode(rendered, tokenizer, special)
    _refuse_spelled_out(rendered, ids, spans, special)
    acting = set(special.values())
    labelled = _Spans(rendered.labelled)
    labels = [token if labelled.touch(span) else IGNORED for token, span in zip(ids, spans, strict=True)]
    return Tokenized(ids, labels, [_first_token(rendered, item[:3], ids, spans, acting) for item in rendered.media])


def _encode(
    rendered: Rendered, tokenizer: PreTrainedTokenizerBase, special: dict[str, int]
) -> tuple[list[int], list[Span]]:
    # The opening bos goes in as an id: some tokenizers treat the first word after a spelled-out bos as one that
    # stands inside a text ("A" instead of "▁A"), unlike the tokenisation their LLM was trained on.
    shift = len(rendered.bos)
    encoded = tokenizer(
        rendered.text[shift:], add_special_tokens=False, return_offsets_mapping=True, verbose=False, truncation=False
    )
    ids: list[int] = encoded["input_ids"]
    spans = [(shift + min(start, end - 1), shift + end) for start, end in encoded["offset_mapping"]]
    if not rendered.bos:
        return ids, spans
    return [special[rendered.bos], *ids], [(0, shift), *spans]


def _refuse_spelled_out(rendered: Rendered, ids: list[int], spans: list[Span], special: dict[str, int]) -> None:
    """Text can never act: a special token made of characters that people or data wrote is refused.

    Refused, not mended: changed characters would teach an LLM to write them.
    """
    names = {index: name for name, index in special.items()}
    written = _Spans(rendered.written)
    for token, (start, end) in zip(ids, spans, strict=True):
        if token not in names:
            continue
        found = rendered.text[start:end].strip()
        # A token that stands for something else than its name does not act: the unknown token for a word that the
        # tokenizer does not know, byte tokens for a character.
        if _folded(found) == _folded(names[token]) and written.touch(_stripped(rendered.text, (start, end))):
            raise PromptError(
                f"{rendered.id}: a text spells out {found!r}, a special token of this LLM, which would act instead of "
                "being read; put media in their own content block, or write it differently"
            )


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

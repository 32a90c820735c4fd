"""One conversation, written by somebody's chat template, and where its turns and media stand in the result.

A template reads what a turn says either as text, media in it as placeholders, or as a list of blocks, and writes the
media among them itself: `[{"type": "image"}, {"type": "text", "text": "What is this?"}]`.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from modalink import modalities
from modalink.conversation import Conversation, Medium, Turn
from modalink.errors import PromptError
from modalink.prompts._turn_blocks import TurnBlocks
from modalink.prompts.rendering import Rendering, rendered
from modalink.prompts.template import Page, Place, Rendered, Span

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_NUMBER = re.compile(r"\d+")
_THOUGHT = "</think>"
"""Closes what an answer thinks, which templates of LLMs that think leave out of a conversation's earlier turns."""
_MARK, _ANY_MARK = "\ue000{}\ue001", re.compile("\ue000\\d+\ue001")


def _forms(content: str, kept: int | None) -> Iterator[tuple[int, str]]:
    """How a template may write a content, each with the characters cut from its left.

    Args:
        content: What a turn says.
        kept: Where what follows its thoughts begins, if a template may leave them out.
    """
    for cut in [0] if kept is None else [0, kept]:
        rest = content[cut:]
        left = cut + len(rest) - len(rest.lstrip())
        yield from ((cut, rest), (left, rest.lstrip()), (left, rest.strip()), (cut, rest.rstrip()))


def _behind_thoughts(page: Page) -> int | None:
    """Where what follows the thoughts of an answer begins; None without thoughts, or with media among them."""
    kept = page.text.rfind(_THOUGHT) + len(_THOUGHT)
    return kept if _THOUGHT in page.text and all(start >= kept for start, *_ in page.media) else None


@dataclass
class TurnFinder:
    """Renders one conversation and finds its turns in the result.

    Args:
        source: The template.
        special_tokens: The tokenizer's special tokens by name.
        id: The conversation's name.
        turns: What it says.
    """

    source: str
    special_tokens: dict[str, str]
    id: str
    turns: list[TurnBlocks]

    @classmethod
    def of(
        cls, source: str, special_tokens: dict[str, str], talk: Conversation, place: Place, *, listed: bool
    ) -> "TurnFinder":
        """The finder of a conversation's turns."""
        return cls(source, special_tokens, talk.id, [TurnBlocks.of(turn, place, listed=listed) for turn in talk.turns])

    def render(self, reply: bool) -> Rendered:
        marks = bool(_GENERATION.search(self.source))
        signs = iter(self.marks())
        (text, marked), (bare, _) = self.apply(
            Rendering([said.message() for said in self.turns], reply, marks),
            Rendering([said.message([next(signs) for _ in said.pages]) for said in self.turns], reply, False),
        )
        found, words = self.locate(text, bare, reply)
        page = Rendered(text, self.id)
        places = iter(found)
        for turn, block in ((said.turn, block) for said in self.turns for block in said.pages):
            start, cut, end = next(places)
            shift = start - cut
            page.written += _within(start, end, shift, block.written)
            page.read += _within(start, end, shift, block.read)
            page.media += [(a + shift, b + shift, medium, turn) for a, b, medium, _ in block.media]
        page.media = sorted([*page.media, *self.seen(found, words)], key=lambda item: item[0])
        if not reply:
            contents = self.contents(found)
            page.labelled = self.chosen(marked, contents) if marks else self.grow(text, contents, words)
        return page

    def apply(self, *renderings: Rendering) -> list[tuple[str, list[Span]]]:
        try:
            found = rendered(self.source, self.special_tokens, renderings)
        except PromptError as error:
            raise PromptError(f"{self.id}: {error}") from None
        for answer in found:
            if "text" not in answer:
                raise PromptError(f"{self.id}: the LLM's chat template {answer['says']}")
        return [(answer["text"], [(start, end) for start, end in answer["spans"]]) for answer in found]

    def marks(self) -> list[str]:
        return [_MARK.format(index) for index in range(sum(len(said.pages) for said in self.turns))]

    def locate(self, text: str, bare: str, reply: bool) -> tuple[list[tuple[int, int, int]], list[str]]:
        """Where each text stands: first character, characters cut from its left, last character + 1.

        In a second rendering stands a mark in place of each text: what is between the marks are the template's own
        words, which are given back, too. A template may strip white space from a text, and leave the thoughts out of
        an answer that nobody learns.
        """
        words = _ANY_MARK.split(bare)
        found, cursor = [], len(words[0])
        pages = [(said.turn, page) for said in self.turns for page in said.pages]
        for (turn, page), after in zip(pages, words[1:], strict=False):
            read = turn.role == "assistant" and (reply or not turn.loss)
            forms = _forms(page.text, _behind_thoughts(page) if read else None)
            fits = (form for form in forms if text.startswith(form[1] + after, cursor))
            cut, form = next(fits, (0, ""))
            found.append((cursor, cut, cursor + len(form)))
            cursor += len(form) + len(after)
        if _ANY_MARK.findall(bare) != self.marks() or not text.startswith(words[0]) or cursor != len(text):
            raise PromptError(f"{self.id}: the LLM's chat template changes what is said; {self._remedy(reply)}")
        return found, words

    def _remedy(self, reply: bool) -> str:
        """What to do where texts cannot be found in what the template writes."""
        thinks = (
            index
            for index, said in enumerate(self.turns)
            if said.turn.role == "assistant" and said.turn.loss and any(_THOUGHT in page.text for page in said.pages)
        )
        if reply or (index := next(thinks, None)) is None:
            return "choose another template"
        return (
            f"turn {index} has thoughts (what stands before {_THOUGHT}), which templates of LLMs that think leave out, "
            "so that nobody would learn them: take them out of the data, or choose another template"
        )

    def seen(self, found: list[tuple[int, int, int]], words: list[str]) -> Iterator[tuple[int, int, Medium, Turn]]:
        """The media that the template wrote, among its own words: in their order, whatever stands around them."""
        media = [(medium, said.turn) for said in self.turns for medium in said.media]
        if not media:
            return
        signs = [modalities.get(medium.modality).placeholder for medium, _ in media]
        pattern = re.compile("|".join(sorted(map(re.escape, {*signs}))))
        starts = [0, *(end for _, _, end in found)]
        spans = [
            (start + match.start(), start + match.end(), match[0])
            for start, own in zip(starts, words, strict=True)
            for match in pattern.finditer(own)
        ]
        if [sign for *_, sign in spans] != signs:
            wrote = ", ".join(sign for *_, sign in spans) or "nothing"
            raise PromptError(
                f"{self.id}: the LLM's chat template writes {wrote} for the media {', '.join(signs)}; choose a "
                "template of modalink.prompts"
            )
        for (start, end, _), (medium, turn) in zip(spans, media, strict=True):
            yield start, end, medium, turn

    def contents(self, found: list[tuple[int, int, int]]) -> list[Span]:
        """Where each turn's first text begins and its last one ends; one without texts stands behind the one before."""
        spans, places, last = [], iter(found), 0
        for said in self.turns:
            own = [next(places) for _ in said.pages]
            spans.append((own[0][0], own[-1][2]) if own else (last, last))
            last = spans[-1][1]
        return spans

    def chosen(self, marked: list[Span], contents: list[Span]) -> list[Span]:
        """The marked spans of turns with loss; a span belongs to the last turn whose content begins before its end."""
        starts = [start for start, _ in contents]
        return [span for span in marked if self.turns[bisect_left(starts, span[1]) - 1].turn.loss]

    def grow(self, text: str, contents: list[Span], words: list[str]) -> list[Span]:
        """The spans of answers with loss, from renderings that end with them.

        Answers between the same words of the template begin and end alike. Of those only the 1st, 2nd, 4th, ... and the
        last are rendered, so that a long conversation costs in proportion to its length.
        """
        alike: dict[tuple[str, ...], list[int]] = {}
        before = 0
        for index, said in enumerate(self.turns):
            after = before + len(said.pages)
            if said.turn.role == "assistant" and said.turn.loss and after > before:
                around = tuple(_NUMBER.sub("0", words[edge]) for edge in (before, after))
                alike.setdefault(around, []).append(index)
            before = after
        spans = []
        for indices in alike.values():
            edges = _Edges()
            for count, index in enumerate(indices, 1):
                start, end = contents[index]
                if count & (count - 1) == 0 or index == indices[-1] or not edges.fit(text, start, end):
                    edges = self.edges(text, index, start, end)
                # The line break after a stop sign belongs to the next turn; alone, it is the stop sign.
                stop = edges.stop.rstrip() or edges.stop
                spans.append((start - len(edges.before) + len(edges.opening), end + len(stop)))
        return sorted(spans)

    def edges(self, text: str, index: int, start: int, end: int) -> "_Edges":
        messages = [said.message() for said in self.turns[: index + 1]]
        (prompt, _), (whole, _) = self.apply(Rendering(messages[:-1], True, False), Rendering(messages, False, False))
        forced = prompt[start:] if prompt.startswith(whole[:start]) else ""
        if text.startswith(whole) and forced and not whole.startswith(prompt):
            return _Edges(stop=text[end : len(whole)], forced=forced)
        if not (text.startswith(whole) and whole.startswith(prompt)):
            raise PromptError(
                f"{self.id}: the LLM's chat template writes turn {index} differently when more follows, so that "
                "its answer cannot be found; choose one of modalink.prompts, or add generation marks to it"
            )
        return _Edges(text[len(prompt) : start], prompt[start:], text[end : len(whole)])


def reads_lists(source: str, special_tokens: Mapping[str, str]) -> bool:
    """Whether a chat template reads contents as lists of blocks: it says their texts, and writes media or wants lists.

    Args:
        source: The template.
        special_tokens: The tokenizer's special tokens by name.
    """
    mark = _MARK.format(0)
    listed = [{"type": "text", "text": mark}]
    tries = [[{"role": "user", "content": content}] for content in (mark, listed, [{"type": "image"}, *listed])]
    found = rendered(source, dict(special_tokens), [Rendering(messages, False, False) for messages in tries])
    plain, texts, media = (answer.get("text", "") for answer in found)
    return texts.count(mark) == 1 and "'type'" not in texts + media and (mark not in plain or media != texts)


def _within(start: int, end: int, shift: int, spans: Sequence[Span]) -> list[Span]:
    """Spans moved into a text's place, as far as they stand in it."""
    moved = [(max(a + shift, start), min(b + shift, end)) for a, b in spans]
    return [(a, b) for a, b in moved if a <= b]


@dataclass(frozen=True)
class _Edges:
    """Where an answer begins and ends, from where its content does.

    Args:
        before: What the assistant says before the content, after the prompt.
        opening: What the prompt already says of the content.
        stop: What follows the content.
        forced: What the prompt makes an answer begin with, and this content does not: LLMs that think are made to,
            and what they thought is no longer in the conversation. Nobody says it, so nobody learns it.
    """

    before: str = ""
    opening: str = ""
    stop: str = ""
    forced: str = ""

    def fit(self, text: str, start: int, end: int) -> bool:
        """Whether this is what stands around another content."""
        return (
            text.endswith(self.before, 0, start)
            and text.startswith(self.opening, start)
            and text.startswith(self.stop, end)
            and not (self.forced and text.startswith(self.forced, start))
        )

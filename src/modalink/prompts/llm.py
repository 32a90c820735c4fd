"""The chat template that an LLM brings with its tokenizer."""

import json
import re
import string
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from transformers import PreTrainedTokenizerBase

from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.errors import PromptError, shown
from modalink.prompts.rendering import Rendering, rendered
from modalink.prompts.template import Page, Place, Rendered, Span, Template, check_reply, split_system
from modalink.prompts.trial import refuse_endless

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_SPELLED = re.compile(r"""<\|[^\s|<>'"]{1,40}\|>|<｜[^\s｜<>'"]{1,40}｜>""")
_NUMBER = re.compile(r"\d+")
_MARK, _ANY_MARK = "\ue000{}\ue001", re.compile("\ue000\\d+\ue001")

# Stands before the LLM's template, which may know neither media nor a default system message.
_PRELUDE = string.Template("""\
{%- set flat = namespace(messages=[], text='') -%}
{%- if $system and messages[0]['role'] != 'system' -%}
  {%- set flat.messages = [{'role': 'system', 'content': $system}] -%}
{%- endif -%}
{%- set placeholders = $placeholders -%}
{%- set signals = $signals -%}
{%- for message in messages -%}
  {%- set content = message['content'] -%}
  {%- set flat.text = content if content is string else '' -%}
  {%- for block in ([] if content is string else content) -%}
    {%- if block['type'] == 'text' -%}
      {%- set flat.text = flat.text + block['text'] -%}
    {%- else -%}
      {%- set given = placeholders.get(block['type'], '<' + block['type'] + '>') -%}
      {%- set use = block.get('use') or ('made' if message['role'] == 'assistant' else 'read') -%}
      {%- set token = given if use == 'read' else signals.get(block['type'], '' if use == 'both' else given) -%}
      {%- set token = token + given if use == 'both' else token -%}
      {%- set flat.text = flat.text + token -%}
    {%- endif -%}
  {%- endfor -%}
  {%- set flat.messages = flat.messages + [dict(message, content=flat.text)] -%}
{%- endfor -%}
{%- set messages = flat.messages %}
""")


class ChatTemplate(Template):
    """A Jinja chat template of Hugging Face, rendered by transformers itself; media stand in its text.

    The assistant's spans come from the template's `{% generation %}` marks, or, without them, from rendering the
    conversation turn by turn: each rendering must begin with the one before it.
    """

    kind: ClassVar[str] = "llm"
    name: str = "llm"
    source: str
    """The chat template."""
    special_tokens: dict[str, str]
    """The tokenizer's special tokens by name, as the template sees them."""
    stops: tuple[str, ...] = ()
    """Strings that end an answer."""

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings that end an answer of the assistant."""
        return self.stops

    def specials(self, tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
        """Special tokens that it writes: the tokenizer's, and what is spelled as only such tokens are (`<|...|>`)."""
        named = [token for name, token in self.special_tokens.items() if name in self.source or token in self.source]
        added = [t.content for t in tokenizer.added_tokens_decoder.values() if t.special and t.content in self.source]
        return tuple(dict.fromkeys([*named, *added, *_SPELLED.findall(self.source)]))

    def jinja(self, placeholders: Mapping[str, str] | None = None, signals: Mapping[str, str] | None = None) -> str:
        """The chat template, taught to read media and to begin with the system message, see `Template.jinja`."""
        values = {"system": self.system, "placeholders": dict(placeholders or {}), "signals": dict(signals or {})}
        return _PRELUDE.substitute({k: json.dumps(v, ensure_ascii=False) for k, v in values.items()}) + self.source

    def render(
        self, conversation: Conversation, place: Place, *, system: str | None = None, reply: bool = False
    ) -> Rendered:
        """Write a conversation as one string, see `Template.render`."""
        opening, turns = split_system(conversation, self.system if system is None else system)
        if reply:
            check_reply(conversation)
        turns = (opening, *turns) if opening.content else turns
        return _Sheet(self, conversation.id, [_said(turn, place) for turn in turns]).render(reply)


@dataclass
class _Said:
    """One turn, its content as a string with the spans in it."""

    turn: Turn
    page: Page

    def message(self, content: str | None = None) -> dict[str, str]:
        return {"role": self.turn.role, "content": self.page.text if content is None else content}


def _said(turn: Turn, place: Place) -> _Said:
    page = Page(place)
    page.content(turn, turn.content)
    return _Said(turn, page)


def _forms(content: str) -> tuple[tuple[int, str], ...]:
    left = len(content) - len(content.lstrip())
    return (0, content), (left, content.lstrip()), (left, content.strip()), (0, content.rstrip())


@dataclass
class _Sheet:
    """Renders one conversation and finds its turns in the result."""

    template: ChatTemplate
    id: str
    turns: list[_Said]

    def render(self, reply: bool) -> Rendered:
        marks = bool(_GENERATION.search(self.template.source))
        signs = self.marks()
        (text, marked), (bare, _) = self.apply(
            Rendering([said.message() for said in self.turns], reply, marks),
            Rendering([said.message(sign) for said, sign in zip(self.turns, signs, strict=True)], reply, False),
        )
        contents, words = self.locate(text, bare)
        page = Rendered(text, self.id)
        for said, (start, cut, end) in zip(self.turns, contents, strict=True):
            shift = start - cut
            page.written += [(max(a + shift, start), min(b + shift, end)) for a, b in said.page.written]
            page.read += [(max(a + shift, start), min(b + shift, end)) for a, b in said.page.read]
            page.media += [(a + shift, b + shift, medium, turn) for a, b, medium, turn in said.page.media]
        if not reply:
            page.labelled = self.chosen(marked, contents) if marks else self.grow(text, contents, words)
        return page

    def apply(self, *renderings: Rendering) -> list[tuple[str, list[Span]]]:
        try:
            found = rendered(self.template.source, self.template.special_tokens, renderings)
        except PromptError as error:
            raise PromptError(f"{self.id}: {error}") from None
        for answer in found:
            if "text" not in answer:
                raise PromptError(f"{self.id}: the LLM's chat template {answer['says']}")
        return [(answer["text"], [(start, end) for start, end in answer["spans"]]) for answer in found]

    def marks(self) -> list[str]:
        return [_MARK.format(index) for index in range(len(self.turns))]

    def locate(self, text: str, bare: str) -> tuple[list[tuple[int, int, int]], list[str]]:
        """Where each turn's content stands: first character, characters cut from its left, last character + 1.

        In a second rendering stands a mark in place of each content: what is between the marks are the template's own
        words, which are given back, too. A template may strip white space from a content.
        """
        words = _ANY_MARK.split(bare)
        found, cursor = [], len(words[0])
        for said, after in zip(self.turns, words[1:], strict=False):
            fits = (form for form in _forms(said.page.text) if text.startswith(form[1] + after, cursor))
            cut, form = next(fits, (0, ""))
            found.append((cursor, cut, cursor + len(form)))
            cursor += len(form) + len(after)
        if _ANY_MARK.findall(bare) != self.marks() or not text.startswith(words[0]) or cursor != len(text):
            raise PromptError(f"{self.id}: the LLM's chat template changes what is said; choose another template")
        return found, words

    def chosen(self, marked: list[Span], contents: list[tuple[int, int, int]]) -> list[Span]:
        """The marked spans of turns with loss; a span belongs to the last turn whose content begins before its end."""
        starts = [start for start, _, _ in contents]
        return [span for span in marked if self.turns[bisect_left(starts, span[1]) - 1].turn.loss]

    def grow(self, text: str, contents: list[tuple[int, int, int]], words: list[str]) -> list[Span]:
        """The spans of answers with loss, from renderings that end with them.

        Answers between the same words of the template begin and end alike. Of those only the 1st, 2nd, 4th, ... and the
        last are rendered, so that a long conversation costs in proportion to its length.
        """
        alike: dict[tuple[str, ...], list[int]] = {}
        for index, said in enumerate(self.turns):
            if said.turn.role == "assistant" and said.turn.loss:
                around = tuple(_NUMBER.sub("0", piece) for piece in words[index : index + 2])
                alike.setdefault(around, []).append(index)
        spans = []
        for indices in alike.values():
            edges = _Edges()
            for count, index in enumerate(indices, 1):
                start, _, end = contents[index]
                if count & (count - 1) == 0 or index == indices[-1] or not edges.fit(text, start, end):
                    edges = self.edges(text, index, start, end)
                # The line break after a stop sign belongs to the next turn; alone, it is the stop sign.
                stop = edges.stop.rstrip() or edges.stop
                spans.append((start - len(edges.before) + len(edges.opening), end + len(stop)))
        return sorted(spans)

    def edges(self, text: str, index: int, start: int, end: int) -> "_Edges":
        messages = [said.message() for said in self.turns[: index + 1]]
        (prompt, _), (whole, _) = self.apply(Rendering(messages[:-1], True, False), Rendering(messages, False, False))
        if not (text.startswith(whole) and whole.startswith(prompt)):
            raise PromptError(
                f"{self.id}: the LLM's chat template writes turn {index} differently when more follows, so that "
                "its answer cannot be found; choose one of modalink.prompts, or add generation marks to it"
            )
        return _Edges(text[len(prompt) : start], prompt[start:], text[end : len(whole)])


@dataclass(frozen=True)
class _Edges:
    """Where an answer begins and ends, from where its content does.

    Args:
        before: What the assistant says before the content, after the prompt.
        opening: What the prompt already says of the content.
        stop: What follows the content.
    """

    before: str = ""
    opening: str = ""
    stop: str = ""

    def fit(self, text: str, start: int, end: int) -> bool:
        """Whether this is what stands around another content."""
        return (
            text.endswith(self.before, 0, start)
            and text.startswith(self.opening, start)
            and text.startswith(self.stop, end)
        )


def from_tokenizer(tokenizer: PreTrainedTokenizerBase) -> ChatTemplate:
    """The LLM's own chat template.

    Raises:
        PromptError: The tokenizer has no chat template.
    """
    if not tokenizer.chat_template:
        raise PromptError("the LLM's tokenizer has no chat template; choose a template of modalink.prompts")
    try:
        source = tokenizer.get_chat_template()
    except ValueError as error:  # several templates by name, and none is the default
        raise PromptError(f"the LLM's tokenizer: {error}") from error
    if not isinstance(source, str):
        raise PromptError(f"the LLM's tokenizer has the chat template {shown(source)}, needed text")
    special = {name: token for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    refuse_endless(source, special)
    template = ChatTemplate(source=source, special_tokens=special)
    probe = Conversation((Turn("user", (Text("1"),)), Turn("assistant", (Text("2"),))), "probe of the chat template")
    page = template.render(probe, _no_media)
    stop = page.text[page.written[-1][1] : page.labelled[-1][1]]
    signs = [sign for sign in (stop.strip() or stop, tokenizer.eos_token) if sign]
    return template.replace(stops=tuple(dict.fromkeys(signs)))


def _no_media(turn: Turn, medium: Medium) -> str:
    raise PromptError(f"a turn of the {turn.role} holds a medium of modality {medium.modality!r}")

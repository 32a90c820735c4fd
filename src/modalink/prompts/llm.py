"""The chat template that an LLM brings with its tokenizer."""

import json
import re
import string
import threading
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jinja2
from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import render_jinja_template

from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.errors import PromptError, shown
from modalink.prompts.template import Page, Place, Rendered, Span, Template, check_reply, split_system
from modalink.prompts.trial import refuse_endless

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
# transformers keeps the spans of a rendering inside the compiled template, which all threads share.
_RENDERING = threading.Lock()

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
        text, marked = self.apply([said.message() for said in self.turns], reply)
        contents = self.locate(text, reply)
        rendered = Rendered(text, self.id)
        for said, (start, cut, end) in zip(self.turns, contents, strict=True):
            shift = start - cut
            rendered.written += [(max(a + shift, start), min(b + shift, end)) for a, b in said.page.written]
            rendered.media += [(a + shift, b + shift, medium, turn) for a, b, medium, turn in said.page.media]
        if not reply:
            marks = bool(_GENERATION.search(self.template.source))
            rendered.labelled = self.chosen(marked, contents) if marks else self.grow(text, contents)
        return rendered

    def apply(self, messages: list[dict[str, str]], reply: bool) -> tuple[str, list[Span]]:
        marks = bool(_GENERATION.search(self.template.source))
        options: dict[str, Any] = {"add_generation_prompt": reply, "return_assistant_tokens_mask": marks}
        options |= self.template.special_tokens
        found: Any
        try:
            with _RENDERING:
                found = render_jinja_template([messages], chat_template=self.template.source, **options)
        except jinja2.TemplateError as error:
            raise PromptError(f"{self.id}: the LLM's chat template refuses this conversation: {error}") from error
        except Exception as error:  # a template is a program, which may raise whatever a program raises
            raise PromptError(
                f"{self.id}: the LLM's chat template fails on this conversation: {type(error).__name__}: {error}"
            ) from error
        (text,), spans = found
        return text, [(start, end) for start, end in spans[0]] if marks else []

    def locate(self, text: str, reply: bool) -> list[tuple[int, int, int]]:
        """Where each turn's content stands: first character, characters cut from its left, last character + 1.

        The template is rendered a second time with a mark in place of each content: what stands between the marks
        are the template's own words. A template may strip white space from a content.
        """
        marks = [f"\ue000{i}\ue001" for i in range(len(self.turns))]
        bare, _ = self.apply([said.message(mark) for said, mark in zip(self.turns, marks, strict=True)], reply)
        words = re.split("|".join(marks), bare)
        found, cursor = [], len(words[0])
        for said, after in zip(self.turns, words[1:], strict=False):
            fits = (form for form in _forms(said.page.text) if text.startswith(form[1] + after, cursor))
            cut, form = next(fits, (0, ""))
            found.append((cursor, cut, cursor + len(form)))
            cursor += len(form) + len(after)
        if re.findall("|".join(marks), bare) != marks or not text.startswith(words[0]) or cursor != len(text):
            raise PromptError(f"{self.id}: the LLM's chat template changes what is said; choose another template")
        return found

    def chosen(self, marked: list[Span], contents: list[tuple[int, int, int]]) -> list[Span]:
        """The marked spans of turns with loss; a span belongs to the last turn whose content begins before its end."""
        starts = [start for start, _, _ in contents]
        return [span for span in marked if self.turns[bisect_left(starts, span[1]) - 1].turn.loss]

    def grow(self, text: str, contents: list[tuple[int, int, int]]) -> list[Span]:
        messages = [said.message() for said in self.turns]
        spans = []
        for index, said in enumerate(self.turns):
            if said.turn.role != "assistant" or not said.turn.loss:
                continue
            prompt, _ = self.apply(messages[:index], True)
            whole, _ = self.apply(messages[: index + 1], False)
            if not (text.startswith(whole) and whole.startswith(prompt)):
                raise PromptError(
                    f"{self.id}: the LLM's chat template writes turn {index} differently when more follows, so that "
                    "its answer cannot be found; choose one of modalink.prompts, or add generation marks to it"
                )
            end = contents[index][2]
            stop = text[end : len(whole)]
            # The line break after a stop sign belongs to the next turn; alone, it is the stop sign.
            spans.append((len(prompt), end + len(stop.rstrip() or stop)))
        return spans


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
    rendered = template.render(probe, _no_media)
    stop = rendered.text[rendered.written[-1][1] : rendered.labelled[-1][1]]
    signs = [sign for sign in (stop.strip() or stop, tokenizer.eos_token) if sign]
    return template.replace(stops=tuple(dict.fromkeys(signs)))


def _no_media(turn: Turn, medium: Medium) -> str:
    raise PromptError(f"a turn of the {turn.role} holds a medium of modality {medium.modality!r}")

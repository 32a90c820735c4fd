"""The chat template that an LLM brings with its tokenizer."""

import json
import re
import string
from collections.abc import Mapping
from typing import Any, ClassVar

from transformers import PreTrainedTokenizerBase

from modalink import modalities
from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.errors import PromptError, shown
from modalink.prompts._turn_finder import TurnFinder, reads_lists
from modalink.prompts.template import Place, Rendered, Template, begins, check_reply, split_system
from modalink.prompts.trial import refuse_endless

_SPELLED = re.compile(r"""<\|[^\s|<>'"]{1,40}\|>|<｜[^\s｜<>'"]{1,40}｜>""")

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
# The same before one that knows media, each as a block.
_LISTING_PRELUDE = string.Template("""\
{%- set flat = namespace(messages=[], blocks=[]) -%}
{%- if $system and messages[0]['role'] != 'system' -%}
  {%- set flat.messages = [{'role': 'system', 'content': [{'type': 'text', 'text': $system}]}] -%}
{%- endif -%}
{%- set kinds = $modalities -%}
{%- set signals = $signals -%}
{%- for message in messages -%}
  {%- set content = message['content'] -%}
  {%- set flat.blocks = [] -%}
  {%- for block in ([{'type': 'text', 'text': content}] if content is string else content) -%}
    {%- set use = block.get('use') or ('made' if message['role'] == 'assistant' else 'read') -%}
    {%- set made = signals.get(block['type'], '') if block['type'] != 'text' and use != 'read' else '' -%}
    {%- set text = block['text'] if block['type'] == 'text' else made -%}
    {%- if text and flat.blocks and flat.blocks[-1]['type'] == 'text' -%}
      {%- set flat.blocks = flat.blocks[:-1] + [{'type': 'text', 'text': flat.blocks[-1]['text'] + text}] -%}
    {%- elif text -%}
      {%- set flat.blocks = flat.blocks + [{'type': 'text', 'text': text}] -%}
    {%- endif -%}
    {%- if block['type'] != 'text' and use != 'made' -%}
      {%- set flat.blocks = flat.blocks + [dict(block, type=kinds.get(block['type'], block['type']))] -%}
    {%- endif -%}
  {%- endfor -%}
  {%- set flat.messages = flat.messages + [dict(message, content=flat.blocks)] -%}
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
    lists: bool = False
    """Whether it reads what a turn says as a list of blocks, and writes the media in it itself."""
    begin: str = ""
    """What stands before all else, if the template does not write it: templates that read lists leave it to the
    tokenizer, as processors of transformers do; those of LLMs write it."""

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
        values: dict[str, Any] = {
            "system": self.system,
            "placeholders": dict(placeholders or {}),
            "signals": dict(signals or {}),
        }
        if self.lists:
            values["modalities"] = {kind: modalities.of_block(kind) for kind in values["placeholders"]}
        prelude = _LISTING_PRELUDE if self.lists else _PRELUDE
        return prelude.substitute({k: json.dumps(v, ensure_ascii=False) for k, v in values.items()}) + self.source

    def render(
        self, conversation: Conversation, place: Place, *, system: str | None = None, reply: bool = False
    ) -> Rendered:
        """Write a conversation as one string, see `Template.render`."""
        opening, turns = split_system(conversation, self.system if system is None else system)
        if reply:
            check_reply(conversation)
        turns = (opening, *turns) if opening.content else turns
        talk = Conversation(turns, conversation.id)
        page = TurnFinder.of(self.source, self.special_tokens, talk, place, listed=self.lists).render(reply)
        return page if page.text.startswith(self.begin) else page.begun(self.begin)


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
    lists = reads_lists(source, special)
    begin = str(tokenizer.bos_token) if lists and begins(tokenizer) else ""
    template = ChatTemplate(source=source, special_tokens=special, lists=lists, begin=begin)
    probe = Conversation((Turn("user", (Text("1"),)), Turn("assistant", (Text("2"),))), "probe of the chat template")
    page = template.render(probe, _no_media)
    stop = page.text[page.written[-1][1] : page.labelled[-1][1]]
    signs = [sign for sign in (stop.strip() or stop, tokenizer.eos_token) if sign]
    return template.replace(stops=tuple(dict.fromkeys(signs)))


def _no_media(turn: Turn, medium: Medium) -> str:
    raise PromptError(f"a turn of the {turn.role} holds a medium of modality {medium.modality!r}")

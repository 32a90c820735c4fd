"""Prompts: how a conversation becomes one string, and the string token ids with labels; how places are written.

For example:

    template = prompts.get("vicuna-v1.1", tokenizer)
    rendered = template.render(conversation, place)
    tokens = prompts.tokenize(rendered, tokenizer)
"""

from transformers import PreTrainedTokenizerBase

from modalink.errors import PromptError, UnknownNameError
from modalink.prompts.codecs import CODECS, codec
from modalink.prompts.coordinates import Codec, Parsed, Picture
from modalink.prompts.llm import ChatTemplate, from_tokenizer
from modalink.prompts.records import RECORDS
from modalink.prompts.template import Page, Place, Rendered, Span, Template
from modalink.prompts.tokens import IGNORED, Tokenized, reader, tokenize
from modalink.prompts.turns import TurnTemplate

__all__ = [
    "CODECS",
    "IGNORED",
    "ChatTemplate",
    "Codec",
    "Page",
    "Parsed",
    "Picture",
    "Place",
    "Rendered",
    "Span",
    "Template",
    "Tokenized",
    "TurnTemplate",
    "codec",
    "from_tokenizer",
    "get",
    "marks",
    "names",
    "reader",
    "specials",
    "tokenize",
]


def names() -> tuple[str, ...]:
    """The names of all templates."""
    return (*RECORDS, "llm")


def marks(name: str) -> tuple[str, ...]:
    """Special tokens, beside those that begin and end a text, that a template writes."""
    return RECORDS[name].marks if name in RECORDS else ()


def specials(name: str, tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """Special tokens that a template writes, or would, were they tokens of this tokenizer.

    Raises:
        UnknownNameError: No template has that name.
        PromptError: As of `get`.
    """
    template = get(name, tokenizer)
    return template.specials(tokenizer) if isinstance(template, ChatTemplate) else template.specials()


def get(name: str, tokenizer: PreTrainedTokenizerBase | None = None) -> TurnTemplate | ChatTemplate:
    """A template by name, with the special tokens of a tokenizer (without one: `<s>` and `</s>`).

    Raises:
        UnknownNameError: No template has that name.
        PromptError: The name is `llm` and there is no tokenizer or it has no chat template, or the tokenizer has no end
            token, which the template needs.
    """
    if name == "llm":
        if tokenizer is None:
            raise PromptError("the template 'llm' is the LLM's own: it needs the LLM's tokenizer")
        return from_tokenizer(tokenizer)
    if name not in RECORDS:
        raise UnknownNameError("prompt template", name, names())
    return RECORDS[name] if tokenizer is None else RECORDS[name].bind(tokenizer)

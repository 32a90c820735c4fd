"""What every prompt template does: turn a conversation into one string, knowing which characters are what."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from transformers import PreTrainedTokenizerBase

from modalink.conversation import Content, Conversation, Medium, Region, Text, Turn
from modalink.errors import PromptError, UnknownNameError
from modalink.kinds import Settings

Place = Callable[[Turn, Medium], str]
"""Gives the literal string that stands for a medium: a placeholder, or the signal tokens that ask for it."""

Span = tuple[int, int]
"""First character and the one after the last."""


@dataclass
class Rendered:
    """A conversation as one string, with the character spans that matter.

    Args:
        text: The whole prompt, special tokens spelled out.
        id: Name of the conversation, for errors.
        bos: The beginning-of-sequence token when `text` opens with one that goes in as an id, else empty.
        specials: Strings of the template that must be special tokens of the tokenizer.
        labelled: Spans that carry loss: what the assistant says in turns with loss, with its stop sign.
        media: Span, medium and turn of each medium, in reading order.
        written: Spans of text that people or data wrote; nothing in them may act as a special token.
        read: Those of them that are only read, be they in a turn with loss.
    """

    text: str
    id: str
    bos: str = ""
    specials: tuple[str, ...] = ()
    labelled: list[Span] = field(default_factory=list)
    media: list[tuple[int, int, Medium, Turn]] = field(default_factory=list)
    written: list[Span] = field(default_factory=list)
    read: list[Span] = field(default_factory=list)

    @property
    def learned(self) -> list[Span]:
        """The labelled spans without what is only read.

        White space alone before that is left out, too, where it is the template's: it is part of the first token that
        is read.
        """
        said = {*self.written} - {*self.read}
        found = []
        for start, end in self.labelled:
            for first, last in sorted(span for span in self.read if span[0] < end and span[1] > start):
                own = self.text[start:first].strip() or any(a < first and b > start for a, b in said)
                found += [(start, first)] if own else []
                start = last
            found.append((start, end))
        return [(start, end) for start, end in found if start < end]

    def begun(self, bos: str) -> "Rendered":
        """The same behind a beginning-of-sequence token."""
        n = len(bos)
        media = [(start + n, end + n, medium, turn) for start, end, medium, turn in self.media]
        labelled, written, read = (
            [(start + n, end + n) for start, end in spans] for spans in (self.labelled, self.written, self.read)
        )
        return Rendered(bos + self.text, self.id, bos, self.specials, labelled, media, written, read)


class Template(Settings):
    """A prompt template, bound to the special tokens of one tokenizer; saved with the model as plain data."""

    kind: ClassVar[str]
    name: str
    system: str = ""
    """The system message of conversations that bring none."""

    @property
    @abstractmethod
    def stop(self) -> tuple[str, ...]:
        """Strings that end an answer of the assistant."""

    @abstractmethod
    def render(
        self, conversation: Conversation, place: Place, *, system: str | None = None, reply: bool = False
    ) -> Rendered:
        """Write a conversation as one string.

        Args:
            conversation: The turns.
            place: Gives the string that stands for a medium.
            system: System message of a conversation that brings none; the template's own by default.
            reply: End with the assistant's prefix, ready for generation; nothing is labelled then.

        Raises:
            PromptError: The turns do not fit the template.
        """

    @abstractmethod
    def jinja(self, placeholders: Mapping[str, str] | None = None, signals: Mapping[str, str] | None = None) -> str:
        """A Hugging Face chat template that renders the same string, with the assistant's spans marked for training.

        Args:
            placeholders: What stands for a given medium, by modality; `<modality>` by default.
            signals: What stands for a medium that is made, by modality; its placeholder by default. The two stand one
                after the other for a medium that is made and read.
        """

    def to_dict(self) -> dict[str, Any]:
        """The template as JSON data."""
        return {"kind": self.kind, **self.model_dump(mode="json")}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Template":
        """The template that `to_dict` described."""
        known = {c.kind: c for c in Template.__subclasses__()}
        if data.get("kind") not in known:
            raise UnknownNameError("kind of prompt template", str(data.get("kind")), known)
        return known[data["kind"]].model_validate({k: v for k, v in data.items() if k != "kind"})


class Page:
    """Writes a prompt from left to right and keeps the spans."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.pieces: list[str] = []
        self.length = 0
        self.labelled: list[Span] = []
        self.media: list[tuple[int, int, Medium, Turn]] = []
        self.written: list[Span] = []
        self.read: list[Span] = []

    @property
    def text(self) -> str:
        """All that was written."""
        return "".join(self.pieces)

    def write(self, text: str) -> Span:
        """Write words of the template."""
        start = self.length
        self.pieces.append(text)
        self.length += len(text)
        return start, self.length

    def content(self, turn: Turn, pieces: Iterable[Content]) -> None:
        """Write what a turn says."""
        for piece in pieces:
            if isinstance(piece, Text):
                self.written.append(self.write(piece.text))
                self.read += [] if piece.loss else self.written[-1:]
            elif isinstance(piece, Region):
                raise PromptError(f"found the region {piece.text!r:.80}, which no coordinate codec has written")
            else:
                self.media.append((*self.write(self.place(turn, piece)), piece, turn))


def begins(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a tokenizer puts its beginning-of-sequence token before a text by itself."""
    return tokenizer.bos_token is not None and tokenizer("").input_ids[:1] == [tokenizer.bos_token_id]


def split_system(conversation: Conversation, default: str) -> tuple[Turn, tuple[Turn, ...]]:
    """The system turn (the conversation's own, else one that says `default`) and the turns after it.

    Raises:
        PromptError: A system turn stands elsewhere than first, or nobody says anything.
    """
    system, turns = Turn("system", (Text(default),) if default else ()), conversation.turns
    if turns and turns[0].role == "system":
        system, turns = turns[0], turns[1:]
    for index, turn in enumerate(conversation.turns[1:], start=1):
        if turn.role == "system":
            raise PromptError(f"{conversation.id}: turn {index} is a system turn, which may only stand first")
    if not turns:
        raise PromptError(f"{conversation.id}: found no turn of a user or the assistant, needed at least one")
    return system, turns


def check_reply(conversation: Conversation) -> None:
    """Refuse to ask for a reply to the assistant's own words.

    Raises:
        PromptError: The last turn is the assistant's.
    """
    if conversation.turns[-1].role not in ("user", "tool"):
        last = conversation.turns[-1].role
        raise PromptError(f"{conversation.id}: a reply needs the user to speak last, found a turn of role {last!r}")

"""Prompt templates that are a record: a form for each role, and little else."""

from collections.abc import Mapping
from itertools import takewhile
from typing import ClassVar

from transformers import PreTrainedTokenizerBase

from modalink.conversation import Content, Conversation, Medium, Turn
from modalink.errors import PromptError
from modalink.prompts.jinja import write_jinja
from modalink.prompts.template import Page, Place, Rendered, Template, begins, check_reply, split_system


class TurnTemplate(Template):
    """A template made of forms: `{text}` is what the turn says, `{bos}` and `{eos}` the tokenizer's special tokens."""

    kind: ClassVar[str] = "turns"
    bos: str = "<s>"
    """Beginning-of-sequence token; empty for a tokenizer without one."""
    eos: str = "</s>"
    """End-of-sequence token."""
    start: str = "{bos}"
    """Stands at the very beginning."""
    bos_as_tokenizer: bool = False
    """`start` is left out where the tokenizer does not put its beginning-of-sequence token before a text by itself."""
    system_form: str = "{text}"
    """The system message."""
    system_absent: str = ""
    """Stands in its place when there is none."""
    system_inside: bool = False
    """The system message stands inside the first user turn, before its text."""
    user: str
    """What the user says, or a tool gives back."""
    reply: str
    """The assistant's prefix, without loss: a prompt for generation ends with it."""
    answer: str
    """What the assistant says up to its stop sign; carries loss."""
    after: str = ""
    """Stands after an answer, without loss."""
    joint: str = "\n"
    """Stands between the media that open a user's turn and the text after them, unless that begins with white space."""
    media_first: bool = False
    """The media that open a user's turn stand before the user's form instead of inside it."""
    wording: bool = True
    """If false, a user's turn with media is its media alone: its text is left out."""
    alternates: bool = False
    """User and assistant must take turns, the user first."""
    stops: tuple[str, ...] = ("{eos}",)
    """Strings that end an answer."""
    marks: tuple[str, ...] = ()
    """Strings of the forms, beside `{bos}` and `{eos}`, that must be special tokens of the tokenizer."""

    def bind(self, tokenizer: PreTrainedTokenizerBase) -> "TurnTemplate":
        """The template with the special tokens of a tokenizer.

        Raises:
            PromptError: The template ends answers with an end token, and the tokenizer has none.
        """
        if tokenizer.eos_token is None and self._uses("{eos}"):
            raise PromptError(f"template {self.name!r} needs an end token and the tokenizer has none; set eos_token")
        start = self.start if not self.bos_as_tokenizer or begins(tokenizer) else ""
        return self.replace(bos=tokenizer.bos_token or "", eos=tokenizer.eos_token or "", start=start)

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings that end an answer of the assistant."""
        return tuple(self.fill(stop) for stop in self.stops)

    def fill(self, form: str) -> str:
        """A form with its special tokens in place."""
        return form.replace("{bos}", self.bos).replace("{eos}", self.eos)

    def form(self, form: str) -> tuple[str, str]:
        """What stands before and after the text of a form; two empty strings for the empty form."""
        before, _, after = self.fill(form).partition("{text}")
        return before, after

    def render(
        self, conversation: Conversation, place: Place, *, system: str | None = None, reply: bool = False
    ) -> Rendered:
        """Write a conversation as one string, see `Template.render`."""
        opening, turns = split_system(conversation, self.system if system is None else system)
        self._check_order(conversation, turns)
        if reply:
            check_reply(conversation)
        page = Page(place)
        page.write(self.fill(self.start))
        if not self.system_inside:
            self._write_system(page, opening)
        for index, turn in enumerate(turns):
            if turn.role != "assistant":
                self._write_user(page, turn, opening if self.system_inside and index == 0 else None)
            else:
                self._write_answer(page, turn)
        page.write(self.fill(self.reply) if reply else "")
        bos = self.bos if self.bos and page.text.startswith(self.bos) else ""
        labelled = [] if reply else page.labelled
        spans = (labelled, page.media, page.written, page.read)
        return Rendered(page.text, conversation.id, bos, self.specials(), *spans)

    def jinja(self, placeholders: Mapping[str, str] | None = None, signals: Mapping[str, str] | None = None) -> str:
        """A Hugging Face chat template that renders the same string, see `Template.jinja`."""
        (system_before, system_after), (user_before, user_after) = self.form(self.system_form), self.form(self.user)
        answer_before, answer_after = self.form(self.answer)
        switches = ("system_inside", "media_first", "wording", "alternates", "system", "joint")
        return write_jinja(
            placeholders=dict(placeholders or {}),
            signals=dict(signals or {}),
            system_before=system_before,
            system_after=system_after,
            system_shown=bool(self.system_form),
            user_before=user_before,
            user_after=user_after,
            answer_before=answer_before,
            answer_after=answer_after,
            **{name: self.fill(getattr(self, name)) for name in ("start", "system_absent", "reply", "after")},
            **{name: getattr(self, name) for name in switches},
        )

    def specials(self) -> tuple[str, ...]:
        """Special tokens that it writes."""
        used = [token for mark, token in (("{bos}", self.bos), ("{eos}", self.eos)) if token and self._uses(mark)]
        return (*used, *self.marks)

    def _uses(self, mark: str) -> bool:
        return any(mark in form for form in (self.start, self.user, self.reply, self.answer, self.after, *self.stops))

    def _check_order(self, conversation: Conversation, turns: tuple[Turn, ...]) -> None:
        if not self.alternates:
            return
        for index, turn in enumerate(turns):
            needed = ("user", "assistant")[index % 2]
            if (turn.role == "assistant") != (needed == "assistant"):
                where = f"{conversation.id}, turn {index} after the system message"
                raise PromptError(f"{where}: found role {turn.role!r}; template {self.name!r} needs {needed!r} there")

    def _write_system(self, page: Page, turn: Turn) -> None:
        content = _spoken(turn)
        if not self.system_form or not content:
            page.write(self.fill(self.system_absent))
            return
        before, after = self.form(self.system_form)
        page.write(before)
        page.content(turn, content)
        page.write(after)

    def _write_user(self, page: Page, turn: Turn, system: Turn | None) -> None:
        before, after = self.form(self.user)
        content = _spoken(turn)
        if not self.wording and any(isinstance(piece, Medium) for piece in content):
            content = [piece for piece in content if isinstance(piece, Medium)]
        opening = list(takewhile(lambda piece: isinstance(piece, Medium), content))
        rest = content[len(opening) :]
        if self.media_first:
            page.content(turn, opening)
        page.write(before)
        if system is not None:
            self._write_system(page, system)
        if not self.media_first:
            page.content(turn, opening)
            page.write(self.joint if opening and rest and not Turn("user", tuple(rest)).text[0].isspace() else "")
        page.content(turn, rest)
        page.write(after)

    def _write_answer(self, page: Page, turn: Turn) -> None:
        page.write(self.fill(self.reply))
        before, after = self.form(self.answer)
        start, _ = page.write(before)
        page.content(turn, _spoken(turn))
        _, end = page.write(after)
        if turn.loss:
            page.labelled.append((start, end))
        page.write(self.fill(self.after))


def _spoken(turn: Turn) -> list[Content]:
    return [piece for piece in turn.content if isinstance(piece, Medium) or piece.text]

"""Dialogues with media on both sides, as NExT-GPT's MosIT (arXiv 2309.05519, section 5.3)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from modalink.conversation import Content, Conversation, Medium, Text, Turn
from modalink.data_making.maker import AskingConfig, Known
from modalink.data_making.replies import bad, listed, nothing_known, words_of
from modalink.errors import shown


class DialoguesMakerConfig(AskingConfig):
    """Settings of dialogues in which people show media, and the assistant answers with others."""

    kind: Literal["dialogues"] = "dialogues"
    pool: int = Field(default=4, ge=2, le=20)
    """How many samples, one behind the other in the source, lend their media to a dialogue."""
    least: int = Field(default=3, ge=1, le=20)
    """Rounds at least."""
    most: int = Field(default=7, ge=1, le=20)
    """Rounds at most."""

    @property
    def together(self) -> int:
        """The pool."""
        return self.pool

    def prompt(self, known: Sequence[Known]) -> str:
        """The media by number, and the form of the dialogue."""
        usable = _media(known)
        if len(usable) < 2:
            raise nothing_known(known)
        rows = "\n".join(f"{n}: {medium.modality}: {medium.caption}" for n, medium in enumerate(usable))
        return (
            f"These media are at hand:\n{rows}\n\nWrite a dialogue of {self.least} to {self.most} rounds between a "
            "person and an assistant that sees and makes media. The person shows some of them and asks about them, or "
            "asks for others to be made; the assistant answers in words, and with a medium where one was asked for. "
            "Each side shows at least one; a medium is shown once.\nReply with JSON alone: "
            '{"rounds": [{"user": "...", "user_media": [numbers], "assistant": "...", "assistant_media": [numbers]}]}.'
        )

    def read(self, reply: str, known: Sequence[Known]) -> list[Conversation]:
        """The dialogue; media of the assistant have their captions, from which they are made."""
        usable, used = _media(known), dict[str, list[int]](user=[], assistant=[])
        turns: list[Turn] = []
        for row in listed(reply, "rounds", known, self.least, self.most):
            for role in ("user", "assistant"):
                numbers = _numbers(row.get(f"{role}_media", []), len(usable), known)
                used[role] += numbers
                media = [usable[n] for n in numbers]
                words: Content = Text(words_of(row, role, known))
                if role == "user":
                    turns.append(Turn("user", (*(replace(medium, caption=None) for medium in media), words)))
                else:
                    turns.append(Turn("assistant", (words, *media)))
        both = used["user"] + used["assistant"]
        if not used["user"] or not used["assistant"] or len({*both}) < len(both):
            found = f"the person shows {used['user']}, the assistant {used['assistant']}"
            raise bad(known, f"{found}; needed media on both sides, each once")
        return [Conversation(tuple(turns), f"{known[0].id}#{self.kind}")]


def _media(known: Sequence[Known]) -> list[Medium]:
    """The media of samples that have one and say what it shows."""
    return [replace(one.media[0], caption=one.told[0], use=None) for one in known if len(one.media) == 1 and one.told]


def _numbers(value: Any, count: int, known: Sequence[Known]) -> list[int]:
    if not isinstance(value, list) or not all(type(n) is int and 0 <= n < count for n in value):
        raise bad(known, f"found the media {shown(value)}, needed numbers from 0 to {count - 1}")
    return value

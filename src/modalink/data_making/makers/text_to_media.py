"""Requests for media, as NExT-GPT's T2M (arXiv 2309.05519, section 5.3): the answer is the medium."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from modalink.conversation import Conversation, Text, Turn
from modalink.data_making.maker import AskingConfig, Known
from modalink.data_making.replies import listed, nothing_known, words_of


class TextToMediaMakerConfig(AskingConfig):
    """Settings of requests for media."""

    kind: Literal["text_to_media"] = "text_to_media"
    requests: int = Field(default=1, ge=1, le=20)
    """Requests for each medium."""

    def prompt(self, known: Sequence[Known]) -> str:
        """A request for what the sample shows."""
        (one,) = known
        if len(one.media) != 1 or not one.told:
            raise nothing_known(known)
        kind = one.media[0].modality
        return (
            f"This is what a medium of the kind {kind} shows:\n{one.told[0]}\n\nWrite {self.requests} requests in "
            f"which people ask an assistant to make such a {kind}, each in another manner, from curt to chatty, saying "
            "all that must be there. The assistant's part is a short sentence that comes with it.\nReply with JSON "
            'alone: {"requests": [{"request": "...", "reply": "..."}]}.'
        )

    def read(self, reply: str, known: Sequence[Known]) -> list[Conversation]:
        """A conversation for each request, answered by the medium with its caption."""
        (one,) = known
        medium = type(one.media[0])(one.media[0].modality, one.media[0].source, one.told[0])
        made = []
        for number, row in enumerate(listed(reply, "requests", known, self.requests, self.requests)):
            asked = Turn("user", (Text(words_of(row, "request", known)),))
            answered = Turn("assistant", (Text(words_of(row, "reply", known)), medium))
            made.append(Conversation((asked, answered), f"{one.id}#{self.kind}-{number}"))
        return made

"""Examples of what was asked and replied, as data for the report: words and media in their order, bounded in size."""

from collections.abc import Iterable, Sequence
from typing import Any

from modalink import modalities
from modalink.conversation import Content, Conversation, Medium, Text
from modalink.errors import ModalinkError
from modalink.evaluation.replies import replies
from modalink.inference import Completion
from modalink.model import System

COUNT = 6
"""Examples of a benchmark."""
MOST_MEDIA = 4
"""Media that are shown of a turn."""
MOST_CHARACTERS = 2**20
"""Characters of their data URLs together."""

Piece = dict[str, str]
"""Words (`text`), or a medium: its `modality`, with the `url`, `words` and `note` of its preview; where it was not made
or is not shown, its `note` says why."""


def of_conversations(system: System, talks: Sequence[Conversation], max_new_tokens: int) -> list[dict[str, Any]]:
    """What is asked and replied, the media of the replies made.

    Args:
        system: The system.
        talks: The conversations, their media decoded; the last turn of each is the user's.
        max_new_tokens: Longest reply.

    Returns:
        For each what was `asked` and its `reply`, as pieces.
    """
    answers = replies(system, talks, max_new_tokens=max_new_tokens, media=len(talks))
    return [
        {"asked": pieces(talk.turns[-1].content), "reply": of_reply(reply)}
        for talk, reply in zip(talks, answers, strict=True)
    ]


def of_reply(reply: Completion) -> list[Piece]:
    """A reply: words and media in their order, and then why others were not made."""
    content = reply.content or (Text(reply.text),)
    missing = [one.modality for one in reply.made if one.missing]
    unmade = [{"modality": m, "note": why} for m, why in zip(missing, reply.missing, strict=True)]
    return [*pieces(content), *unmade]


def pieces(content: Iterable[Content]) -> list[Piece]:
    """Words and media in their order; of many or large media the first, and of the others a note."""
    found: list[Piece] = []
    room, shown = MOST_CHARACTERS, 0
    for part in content:
        if not isinstance(part, Medium):
            found += [{"text": part.text.strip()}] if part.text.strip() else []
            continue
        piece = _medium(part) if shown < MOST_MEDIA else _left_out(part.modality)
        if len(piece.get("url", "")) > room:
            piece = _left_out(part.modality)
        room, shown = room - len(piece.get("url", "")), shown + 1
        found.append(piece)
    return found


def _medium(medium: Medium) -> Piece:
    try:
        preview = modalities.preview(medium.modality, medium.source)
    except ModalinkError as error:
        return {"modality": medium.modality, "note": f"cannot be shown: {error}"}
    fields = {"url": preview.url, "words": preview.words, "note": preview.note}
    return {"modality": medium.modality} | {name: value for name, value in fields.items() if value}


def _left_out(modality: str) -> Piece:
    most = f"{MOST_MEDIA} media and {MOST_CHARACTERS // 2**20} MiB of them"
    return {"modality": modality, "note": f"left out here: a page shows {most} of a turn"}

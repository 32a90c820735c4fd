"""Replies whose steps are judged one by one: what process reward models learn from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from modalink.conversation import Content, Conversation, Text, Turn
from modalink.errors import SampleError


@dataclass(frozen=True)
class Stepped(Conversation):
    """A prompt with a reply in steps. Made by `of`.

    Of the reply only what stands behind each step is labelled: there its worth is read.

    Args:
        worth: Of each step, from 0 (wrong) to 1 (right); None where nobody judged it.
    """

    worth: tuple[float | None, ...] = ()

    @classmethod
    def of(
        cls, prompt: Sequence[Turn], steps: Sequence[str], worth: Sequence[float | None], separator: str, id: str
    ) -> Self:
        """A reply in steps.

        Args:
            prompt: The turns before it; nothing of them is learned.
            steps: What each says.
            worth: Of as many.
            separator: What stands behind each.
            id: Its name.

        Raises:
            SampleError: There is no step, one says nothing, or there are more or fewer judgements than steps.
        """
        if len(steps) != len(worth):
            raise SampleError(id, "bad_record", f"found {len(steps)} steps and {len(worth)} judgements of them")
        if not steps or any(not step.strip() for step in steps):
            empty = next((n for n, step in enumerate(steps, start=1) if not step.strip()), None)
            found = "no step" if empty is None else f"nothing in step {empty} of {len(steps)}"
            raise SampleError(id, "empty_reply", f"found {found}, needed steps that say something")
        before = tuple(replace(turn, loss=False) if turn.role == "assistant" else turn for turn in prompt)
        return cls((*before, Turn("assistant", marked(steps, separator))), id, worth=tuple(worth))


def marked(steps: Sequence[str], separator: str) -> tuple[Text, ...]:
    """Steps as the content of a turn of which only the separators are labelled."""
    return tuple(piece for step in steps for piece in (Text(step, loss=False), Text(separator)))


def divided(content: Sequence[Content], separator: str) -> list[str]:
    """The steps of a reply: its words between separators, without empty ones.

    Args:
        content: The reply; media in it are left out.
        separator: What stands behind each step.
    """
    text = "".join(piece.text for piece in content if isinstance(piece, Text))
    return [step.strip() for step in text.split(separator) if step.strip()]

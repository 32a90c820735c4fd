"""Replies to the same prompt, the best first: what preference objectives, reward models and their like learn from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

from modalink.conversation import Content, Conversation, Medium, Text, Turn
from modalink.errors import SampleError
from modalink.model.sides import Judgement


@dataclass(frozen=True)
class Side:
    """One reply to a prompt.

    Args:
        reply: The turns that follow the prompt.
        score: Its worth as a number, larger is better, where that is known.
        label: Whether it is good, where it was judged alone.
        media: What it is a reply to instead of the prompt's media, as many and in their order; None: those of the
            prompt.
        variant: What was changed of the reply, or of its prompt, to compare it with; None of a reply as the data hold
            it.
        rank: Of a variant the rank of the reply that it is one of; others are ranked by their order.
    """

    reply: tuple[Turn, ...]
    score: float | None = None
    label: bool | None = None
    media: tuple[Medium, ...] | None = None
    variant: str | None = None
    rank: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether it says and shows nothing."""
        pieces = [piece for turn in self.reply for piece in turn.content]
        return not any(piece.text.strip() if isinstance(piece, Text) else True for piece in pieces)


@dataclass(frozen=True)
class Preference(Conversation):
    """A prompt with several replies, or with one that was judged; as a conversation it is the prompt with the best.

    Made by `of`.

    Args:
        prompt: The turns before the replies; nothing of them is learned.
        sides: The replies in falling order of worth, and behind them variants.
    """

    prompt: tuple[Turn, ...] = ()
    sides: tuple[Side, ...] = ()

    @classmethod
    def of(cls, prompt: Sequence[Turn], sides: Sequence[Side], id: str) -> Self:
        """A preference.

        Raises:
            SampleError: There is no reply, or one says nothing, or it has other media than the prompt.
        """
        before = tuple(replace(turn, loss=False) if turn.role == "assistant" else turn for turn in prompt)
        if not sides:
            raise SampleError(id, "no_reply", "found a prompt without replies, needed at least one")
        for number, side in enumerate(sides):
            if side.is_empty:
                text = f"reply {number + 1} of {len(sides)} says nothing, so that nothing can be compared with it"
                raise SampleError(id, "empty_reply", text)
        turns = _shown(before, sides[0], id) + sides[0].reply
        return cls(turns, id, prompt=before, sides=tuple(sides))

    def conversations(self) -> Iterator[tuple[Conversation, Judgement]]:
        """The prompt with each side in turn, and what is known of it; the first is the preference itself."""
        ranks = iter(range(len(self.sides)))
        for number, side in enumerate(self.sides):
            rank = next(ranks) if side.variant is None else side.rank
            name = self.id if not number else f"{self.id}, reply {number + 1}"
            turns = _shown(self.prompt, side, self.id) + side.reply
            yield Conversation(turns, name, self.facts), Judgement(rank, side.score, side.label, side.variant)

    def with_variants(self, sides: Sequence[Side]) -> "Preference":
        """The same with further sides behind its own."""
        return replace(self, sides=(*self.sides, *sides))


def _shown(prompt: tuple[Turn, ...], side: Side, id: str) -> tuple[Turn, ...]:
    """The prompt with the media that a side is a reply to."""
    if side.media is None:
        return prompt
    count = sum(isinstance(piece, Medium) for turn in prompt for piece in turn.content)
    if count != len(side.media):
        found = f"found {len(side.media)} media of a reply's own in the place of the prompt's {count}"
        raise SampleError(id, "media_count", f"{found}, needed as many")
    media = iter(side.media)

    def own(piece: Content) -> Content:
        return next(media) if isinstance(piece, Medium) else piece

    return tuple(replace(turn, content=tuple(map(own, turn.content))) for turn in prompt)

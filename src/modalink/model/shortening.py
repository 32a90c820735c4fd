"""A long conversation cut by its characters, before the work of tokenising it."""

from dataclasses import replace
from functools import cached_property

from transformers import PreTrainedTokenizerBase

from modalink.conversation import Content, Conversation, Medium, Text, Turn
from modalink.errors import PromptError


class LongestToken:
    """How many characters one token of a tokenizer stands for at most; looked up when it is first asked for."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer

    @cached_property
    def length(self) -> int:
        """Characters."""
        return max(map(len, self._tokenizer.get_vocab()), default=1)


def shortened(conversation: Conversation, max_tokens: int, longest: LongestToken, *, whole: bool) -> Conversation:
    """What of a conversation can be seen within a number of tokens: all media, and at most so much text.

    Whatever is left out lies behind `max_tokens` tokens of text, so that nothing is lost that would have been seen;
    unless the tokenizer drops characters, as some do with white space, which shows where nothing remains to be cut.

    Args:
        conversation: The sample.
        max_tokens: Longest sequence.
        longest: Of the tokenizer that will read it.
        whole: Keep all turns, though nothing be left in them: somebody is to reply to the last.

    Raises:
        PromptError: There are so many media that no text has room beside them.
    """
    turns = conversation.turns
    holding = [number for number, turn in enumerate(turns) for piece in turn.content if isinstance(piece, Medium)]
    if len(holding) >= max_tokens:
        raise PromptError(
            f"{conversation.id}: found {len(holding)} media, each of which takes a token at least, within the maximum "
            f"of {max_tokens}; raise max_tokens or split the sample"
        )
    if len(turns) <= max_tokens and sum(len(turn.text) for turn in turns) <= max_tokens:
        return conversation
    room, last = max_tokens * longest.length, max(holding, default=0)
    kept: list[Turn] = []
    for number, turn in enumerate(turns):
        seen = room > 0 and number < max_tokens
        if not seen and number > last and not whole:
            break
        kept.append(replace(turn, content=_within(turn, room), loss=turn.loss and seen))
        room = max(0, room - len(turn.text))
    cut = len(kept) < len(turns) or any(short != turn for short, turn in zip(kept, turns, strict=True))
    return replace(conversation, turns=tuple(kept)) if cut else conversation


def _within(turn: Turn, room: int) -> tuple[Content, ...]:
    content: list[Content] = []
    for piece in turn.content:
        if isinstance(piece, Text):
            content.append(piece if len(piece.text) <= room else replace(piece, text=piece.text[:room]))
            room = max(0, room - len(piece.text))
        else:
            content.append(piece)
    return tuple(content)

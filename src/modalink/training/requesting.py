"""Prompts alone as requests for media: the reply that asks is the system's own, its signal tokens forced.

Policy gradients, NFT and their kin need a prompt and a reward, and no medium that somebody made before.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Self

from modalink.conversation import Conversation, Medium, Text, Turn, Unmade
from modalink.errors import SampleError
from modalink.recipe import SystemSpec


@dataclass(frozen=True)
class Requesting:
    """Gives conversations that end without a reply the one that asks for a medium.

    Args:
        able: What the system makes by signal tokens.
        wanted: What of that the stage learns to make.
        words: What the assistant says before the signal tokens.
    """

    able: tuple[str, ...]
    wanted: tuple[str, ...]
    words: str = ""

    @classmethod
    def of(cls, spec: SystemSpec, objectives: Iterable[Any], words: str = "") -> Self:
        """That of a system, for media that objectives have drawn.

        Args:
            spec: The parts of the system.
            objectives: Those of a stage; those that sample media say of which modalities.
            words: What the assistant says before the signal tokens.
        """
        about = {m for one in objectives if "sampled_media" in one.needs for m in one.modalities or spec.signalled}
        wanted = tuple(modality for modality in spec.signalled if modality in about)
        return cls((*spec.signalled,), wanted, words)

    def __call__(self, conversation: Conversation) -> Conversation:
        """A conversation as it is, if it has a reply; else with one. The prompt's words are the medium's caption.

        Raises:
            SampleError: Nothing is asked, or it cannot be told what shall be made.
        """
        turns = conversation.turns
        if turns and turns[-1].role == "assistant":
            if _says(turns[-1]):
                return conversation
            turns = turns[:-1]
        if not turns or turns[-1].role == "assistant" or not _says(turns[-1]):
            detail = "found neither a reply nor words that ask for one, needed a prompt in the user's last turn"
            raise SampleError(conversation.id, "not_asked", detail)
        medium = Medium(
            self._modality(conversation.id), Unmade.UNMADE, caption=turns[-1].text.strip() or None, use="made"
        )
        content = (Text(self.words), medium) if self.words else (medium,)
        return replace(conversation, turns=(*turns, Turn("assistant", content)))

    def _modality(self, sample: str) -> str:
        if len(self.wanted) == 1:
            return self.wanted[0]
        able = ", ".join(self.able) or "nothing"
        if self.wanted:
            detail = (
                f"to which {' or '.join(self.wanted)} can be made; say which by `modalities` of the objective that "
            )
            detail += "draws, or give the record the reply"
        else:
            detail = (
                f"for which the objective could make nothing: the system makes {able} by signal tokens; change the "
            )
            detail += "objective's `modalities`, or give the system a generator with a projector"
        raise SampleError(sample, "no_reply", f"found a prompt without a reply, {detail}")


def _says(turn: Turn) -> bool:
    return any(not isinstance(piece, Text) or piece.text.strip() for piece in turn.content)

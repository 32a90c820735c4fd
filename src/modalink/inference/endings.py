"""Where answers end, and how long they may get."""

from collections.abc import Iterable
from dataclasses import dataclass

from modalink.errors import GenerationError
from modalink.model import System


@dataclass(frozen=True)
class Endings:
    """What ends an answer.

    Args:
        tokens: Special tokens.
        strings: Strings that are no special tokens, such as `###`.
    """

    tokens: frozenset[int]
    strings: tuple[str, ...]

    @classmethod
    def of(cls, system: System, further: Iterable[str] = ()) -> "Endings":
        """What ends an answer of a system: its LLM's own end, the stop signs of its template, and further ones."""
        stops = [stop for stop in (*system.processor.template.stop, *further) if stop]
        added = system.processor.tokenizer.added_tokens_decoder
        special = {token.content: index for index, token in added.items() if token.special}
        own = system.model.generation_config.eos_token_id
        tokens = set() if own is None else {own} if isinstance(own, int) else set(own)
        tokens |= {special[stop] for stop in stops if stop in special}
        # A run of signal tokens that was begun is finished: half of one asks for no medium.
        finished = {token: run[-1] for run in system.model.config.signals.values() for token in run}
        return cls(
            frozenset(finished.get(token, token) for token in tokens),
            tuple(stop for stop in stops if stop not in special),
        )


def longest(system: System, prompt: int, wanted: int) -> int:
    """How many tokens an answer may take, within what the LLM can read.

    Args:
        system: The system that answers.
        prompt: Tokens of the prompt, media included.
        wanted: Tokens that the answer shall take at most.

    Raises:
        GenerationError: The prompt leaves no room.
    """
    config = system.model.config
    limit: int | None = getattr(config.get_text_config(), "max_position_embeddings", None)
    if limit is None or config.is_encoder_decoder:
        return wanted
    if prompt >= limit:
        raise GenerationError(
            f"the conversation takes {prompt} tokens and the LLM reads at most {limit}, the answer included; "
            "begin a new conversation, or send fewer media"
        )
    return min(wanted, limit - prompt)

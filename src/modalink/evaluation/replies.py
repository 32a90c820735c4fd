"""Greedy replies to many conversations at once, for evaluation."""

from collections.abc import Iterator, Sequence

from modalink.conversation import Conversation
from modalink.inference import Completion, Engine, Request, Sampling
from modalink.model import System

_BATCH = 64


def replies(
    system: System,
    conversations: Sequence[Conversation],
    *,
    max_new_tokens: int = 64,
    batch: int = _BATCH,
    stop: Sequence[str] = (),
    media: int = 0,
) -> Iterator[Completion]:
    """Greedy replies, in order; of the media that they ask for come the conditions, and of the first ones the media.

    Args:
        system: The model and its processor; the model stays on its device.
        conversations: The turns so far; the last one is the user's.
        max_new_tokens: Longest reply.
        batch: Conversations that are answered together.
        stop: Strings that end a reply, beside the system's own.
        media: Of how many replies, from the first on, the media are made.
    """
    system.model.eval()
    engine = Engine(system, batch=batch)
    sampling = Sampling(max_new_tokens=max_new_tokens, stop=tuple(stop))
    for start in range(0, len(conversations), batch):
        prompts = [system.prepare(c, reply=True) for c in conversations[start : start + batch]]
        yield from engine.generate(
            [Request(prompt, sampling, media=start + place < media) for place, prompt in enumerate(prompts)]
        )


def surplus(system: System, modality: str, reply: Completion) -> str:
    """What a reply asks for beyond one medium of a modality, in words; empty where it is nothing.

    Args:
        system: The system.
        modality: The modality that was asked for; empty: none.
        reply: The reply.
    """
    beyond = []
    for name, conditions in reply.conditions.items():
        if name in system.spec.worded:
            continue  # what says the reply's own words comes with every reply
        if (count := len(conditions) - (name == modality)) > 0:
            beyond.append(name if count == 1 else f"{count} {name}")
    return ", ".join(beyond)

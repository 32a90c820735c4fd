"""Whether an LLM's chat template ends: it is met first with short conversations, before a model is loaded for it."""

from modalink.errors import PromptError
from modalink.prompts.rendering import Rendering, rendered

LONGEST = 2**20
"""Characters of a template; the longest of released LLMs have some 20,000."""

_TURNS = [
    {"role": "user" if i % 2 == 0 else "assistant", "content": f"turn {i}: " + "some words. " * (1 + i % 5)}
    for i in range(24)
]
_SYSTEM = {"role": "system", "content": "Answer in one word."}
_CONVERSATIONS = [*(_TURNS[:n] for n in (1, 2, 3, 4, 24)), *([_SYSTEM, *_TURNS[:n]] for n in (1, 2, 24))]


def refuse_endless(source: str, special_tokens: dict[str, str]) -> None:
    """Refuse a chat template that does not end, or that takes all memory.

    What it says of a conversation is no matter here: another may fit, and whoever renders it hears of it.

    Args:
        source: The template.
        special_tokens: The tokenizer's special tokens by name.

    Raises:
        PromptError: It was stopped; the message says why.
    """
    if len(source) > LONGEST:
        raise PromptError(f"the LLM's chat template has {len(source):,} characters, needed {LONGEST:,} at most")
    rendered(source, special_tokens, [Rendering(m, reply, False) for m in _CONVERSATIONS for reply in (False, True)])

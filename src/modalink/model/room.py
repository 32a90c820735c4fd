"""How much of a sample finds room within the maximum of tokens: media are never cut, text is cut from the end."""

from modalink.errors import PromptError
from modalink.model.expansion import Expanded


def no_room(sample: str, media: str, taken: int, max_tokens: int) -> PromptError:
    """The error of a sample whose media leave no room for text."""
    return PromptError(
        f"{sample}: {media} take {taken} tokens, which leaves no room for text within the maximum of {max_tokens}; "
        "raise max_tokens or use a projector that makes fewer tokens"
    )


def places_within(expanded: Expanded, max_tokens: int | None, sample: str) -> list[int]:
    """The places of a sample's tokens that stay: all of its media, and its text as far as there is room.

    Args:
        expanded: Its tokens.
        max_tokens: Most tokens; None for all.
        sample: What errors call it.

    Raises:
        PromptError: Its media alone leave no room for text.
    """
    if max_tokens is None or len(expanded.ids) <= max_tokens:
        return [*range(len(expanded.ids))]
    room = max_tokens - sum(expanded.fixed)
    if room <= 0:
        raise no_room(sample, "its media", max_tokens - room, max_tokens)
    stay = []
    for place, fixed in enumerate(expanded.fixed):
        if fixed or room > 0:
            stay.append(place)
            room -= not fixed
    return stay

"""What a join's layers are told of a pass, kept with the LLM's cache for the passes behind it."""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from modalink.llms._segments import SegmentsMask
from modalink.roles import Meeting, Rows

_KEPT = "_modalink_meeting"


def rows_of(embeds: Float[Tensor, "b t d_llm"], attention_mask: Tensor | None) -> Rows:
    """The rows that an LLM reads; the mask of a packed stream knows its samples."""
    segments = attention_mask.segments.lengths if isinstance(attention_mask, SegmentsMask) else None
    return Rows.of(embeds, segments)


def keep_meeting(meeting: Meeting | None, cache: Any) -> None:
    """Keep with a cache what was met before its end."""
    if meeting is not None and cache is not None:
        setattr(cache, _KEPT, meeting.kept())


def meeting_before(cache: Any) -> Meeting | None:
    """What was met in the tokens of a cache; None where nothing was."""
    found: Meeting | None = getattr(cache, _KEPT, None)
    return found

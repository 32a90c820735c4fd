"""Markers of media that stand in texts as words: what they stood for is not there."""

import re
from collections.abc import Iterator
from typing import Literal

from modalink import modalities
from modalink.conversation import REGION_MARKER, Text
from modalink.data_quality.check import Check, CheckConfig, Context, Fault
from modalink.data_quality.sample import Sample


class MarkersConfig(CheckConfig):
    """Settings of the check of markers.

    A number of markers that is not the number of media is refused by the source itself, see the check `schema`; here
    are those that became words, since the record has no such column.
    """

    kind: Literal["markers"] = "markers"

    def begin(self, context: Context) -> Check:
        """The check."""
        return _Markers()


class _Markers(Check):
    def __init__(self) -> None:
        markers = [*(row.placeholder for row in modalities.records()), REGION_MARKER, "<ref-object>"]
        self._marker = re.compile("|".join(map(re.escape, markers)))

    def look(self, sample: Sample) -> Iterator[Fault]:
        for number, turn in enumerate(() if sample.conversation is None else sample.conversation.turns):
            texts = (piece.text for piece in turn.content if isinstance(piece, Text))
            if found := [marker for text in texts for marker in self._marker.findall(text)]:
                detail = f"turn {number} says {', '.join(sorted({*found}))} as words: nothing stands there"
                yield Fault.of(sample, "marker_word", detail)

"""Samples that say and show the very same as one before, in their source or in one before it."""

import hashlib
from collections.abc import Iterator
from typing import Literal

from modalink.data_quality.check import Check, CheckConfig, Context, Fault
from modalink.data_quality.sample import Sample
from modalink.data_quality.words import words


class DuplicatesConfig(CheckConfig):
    """Settings of the check of duplicates: the same words by the same speakers, and media of the same content."""

    kind: Literal["duplicates"] = "duplicates"

    def begin(self, context: Context) -> Check:
        """The check."""
        return _Duplicates(context)


class _Duplicates(Check):
    remembers = True

    def __init__(self, context: Context) -> None:
        self.source, self._earlier = context.source, context.earlier
        self.first: dict[bytes, str] = {}

    def look(self, sample: Sample) -> Iterator[Fault]:
        key = content_key(sample)
        if key is None:
            return
        for one in (*self._earlier, self):
            if key in one.first:
                of = "" if one is self else f" of {one.source}"
                yield Fault.of(sample, "duplicate", f"says and shows the same as {one.first[key]}{of}")
                return
        self.first[key] = sample.id


def content_key(sample: Sample) -> bytes | None:
    """What is equal of samples that say and show the same; None where one cannot be read."""
    if sample.conversation is None:
        return None
    said = [(turn.role, " ".join(words(turn.text))) for turn in sample.conversation.turns]
    shown = [medium.digest for medium in sample.media]
    return None if None in shown else hashlib.sha256(repr((said, shown)).encode()).digest()

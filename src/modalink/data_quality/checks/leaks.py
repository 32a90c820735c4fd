"""Answers that stand in their question already: nothing is learned of the medium."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

from pydantic import Field

from modalink.data_quality.check import Check, CheckConfig, Context, Fault
from modalink.data_quality.sample import Sample
from modalink.data_quality.words import words

# `A. a cat`, `(B) two dogs`, `- red`: a question that lists its options holds the answer by right.
_OPTION = re.compile(r"^\s*(?:\(?[A-Za-z0-9]{1,2}[.):]|[-*•])\s.*$", re.MULTILINE)


class LeaksConfig(CheckConfig):
    """Settings of the check of leaks."""

    kind: Literal["leaks"] = "leaks"
    least_words: int = Field(default=4, ge=1)
    """Shorter answers are not looked for: `red` stands in `is it red or blue?` by right."""

    def begin(self, context: Context) -> Check:
        """The check."""
        return _Leaks(self.least_words)


class _Leaks(Check):
    def __init__(self, least_words: int) -> None:
        self._least = least_words

    def look(self, sample: Sample) -> Iterator[Fault]:
        turns = () if sample.conversation is None else sample.conversation.turns
        for number, (asked, answered) in enumerate(pairwise(turns)):
            if asked.role != "user" or answered.role != "assistant":
                continue
            answer = words(answered.text)
            question = words(_OPTION.sub("", asked.text))
            if len(answer) >= self._least and f" {' '.join(answer)} " in f" {' '.join(question)} ":
                shown = answered.text.strip()[:80]
                yield Fault.of(sample, "answer_in_question", f"turn {number} already says its answer {shown!r}")

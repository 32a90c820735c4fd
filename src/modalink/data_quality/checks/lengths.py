"""How long samples are, in tokens where a tokenizer is told, else in words."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from modalink.data_quality.check import Check, CheckConfig, Context, Fault
from modalink.data_quality.sample import Sample
from modalink.data_quality.words import words


class LengthsConfig(CheckConfig):
    """Settings of the check of lengths; it counts the words of all turns, and no media."""

    kind: Literal["lengths"] = "lengths"
    least: int = Field(default=0, ge=0)
    """An answer that has fewer is a fault."""
    most: int | None = Field(default=None, ge=1)
    """A sample that has more is a fault."""

    def begin(self, context: Context) -> Check:
        """The check."""
        return _Lengths(self, context.tokenizer)


class _Lengths(Check):
    def __init__(self, config: LengthsConfig, tokenizer: Any) -> None:
        self._config, self._tokenizer = config, tokenizer
        self._unit = "words" if tokenizer is None else "tokens"
        self._lengths: list[int] = []
        self._answers: list[int] = []

    def look(self, sample: Sample) -> Iterator[Fault]:
        if sample.conversation is None:
            return
        answers = [self._length(turn.text) for turn in sample.conversation.turns if turn.role == "assistant"]
        others = sum(self._length(turn.text) for turn in sample.conversation.turns if turn.role != "assistant")
        self._lengths.append(others + sum(answers))
        self._answers += answers
        least, most = self._config.least, self._config.most
        if answers and min(answers) < least:
            yield Fault.of(sample, "too_short", f"an answer has {min(answers)} {self._unit}, needed {least} at least")
        if most is not None and self._lengths[-1] > most:
            yield Fault.of(sample, "too_long", f"has {self._lengths[-1]:,} {self._unit}, needed {most:,} at most")

    def facts(self) -> dict[str, Any]:
        """Quantiles of the lengths of samples and of answers."""
        counts = {"samples": self._lengths, "answers": self._answers}
        return {f"{self._unit} of {what}": quantiles(lengths) for what, lengths in counts.items() if lengths}

    def _length(self, text: str) -> int:
        if self._tokenizer is None:
            return len(words(text))
        return len(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def quantiles(numbers: Sequence[int | float]) -> dict[str, float]:
    """The least, the median, the 95th hundredth and the most of some numbers."""
    names = {"least": 0.0, "median": 0.5, "95 %": 0.95, "most": 1.0}
    return {name: float(np.quantile(numbers, share, method="nearest")) for name, share in names.items()}

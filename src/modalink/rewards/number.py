"""Whether the number of a reply is the right one."""

import re
from typing import Any, Literal

from pydantic import Field

from modalink.rewards import Answered, Judgement
from modalink.rewards._texts import TextRewardConfig, listed
from modalink.scoring.metrics.vqa import DIGITS

_NUMBER = re.compile(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?%?|[a-z]+")
_WORDS = {word: float(digit) for word, digit in DIGITS.items() if word != "none"}


class NumberConfig(TextRewardConfig):
    """1 where the number of the reply is the right one within a tolerance, else 0; about records whose right answer is
    a number alone, in digits or as a word up to ten."""

    kind: Literal["number"] = "number"
    tolerance: float = Field(default=1e-6, ge=0)
    """Largest difference."""
    relative: float = Field(default=0.0, ge=0)
    """Largest difference as a share of the right number; the larger of the two counts."""
    which: Literal["last", "first", "only"] = "last"
    """Which of several numbers of a reply counts; `only` gives 0 where there are several."""

    def compare(self, said: str, right: Any, answer: Answered) -> Judgement:
        wanted = [number for one in listed(right) if (number := alone(str(one))) is not None]
        if not wanted:
            return Judgement(None, f"the record's {self.fact or self.default_fact!r} is no number", applies=False)
        found = numbers(said)
        if not found or (self.which == "only" and len(found) > 1):
            return Judgement(0.0, f"found {len(found)} numbers in the reply")
        number = found[0 if self.which == "first" else -1]
        return Judgement(float(any(abs(number - n) <= max(self.tolerance, self.relative * abs(n)) for n in wanted)))


def numbers(text: str) -> list[float]:
    """The numbers of a text in their order, words from zero to ten among them; a percent sign divides by 100."""
    found = (_value(match) for match in _NUMBER.findall(text.lower()))
    return [value for value in found if value is not None]


def alone(text: str) -> float | None:
    """The number that a text is, but for a full stop; None where it says more or something else."""
    match = _NUMBER.fullmatch(text.lower().strip().rstrip("."))
    return None if match is None else _value(match[0])


def _value(token: str) -> float | None:
    if token[-1].isalpha():
        return _WORDS.get(token)
    digits = token.replace(",", "").rstrip("%")
    return float(digits) / (100 if token.endswith("%") else 1)

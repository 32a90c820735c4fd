"""Questions that get the same answer whatever is shown: they teach to answer without looking."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

from pydantic import Field

from modalink.data_quality.check import Check, CheckConfig, Context, Fault
from modalink.data_quality.sample import Sample
from modalink.data_quality.words import words

_Asked = tuple[str, ...]


class ConstantAnswersConfig(CheckConfig):
    """Settings of the check of answers that do not depend on media."""

    kind: Literal["constant_answers"] = "constant_answers"
    least: int = Field(default=20, ge=2)
    """How often a question must be asked of different media to be judged."""
    share: float = Field(default=0.98, gt=0.5, le=1)
    """From which share of equal answers on they are a fault."""

    def begin(self, context: Context) -> Check:
        """The check."""
        return _ConstantAnswers(self)


class _ConstantAnswers(Check):
    def __init__(self, config: ConstantAnswersConfig) -> None:
        self._config = config
        self._answers: dict[_Asked, Counter[_Asked]] = {}
        self._asked: list[tuple[int, str, _Asked]] = []
        self._shown: dict[_Asked, set[str | None]] = {}

    def look(self, sample: Sample) -> tuple[Fault, ...]:
        if sample.conversation is None or not sample.media:
            return ()
        shown = "".join(str(medium.digest) for medium in sample.media)
        for asked, answered in pairwise(sample.conversation.turns):
            if asked.role == "user" and answered.role == "assistant":
                question = tuple(words(asked.text))
                self._answers.setdefault(question, Counter())[tuple(words(answered.text))] += 1
                self._shown.setdefault(question, set()).add(shown)
                self._asked.append((sample.number, sample.id, question))
        return ()

    def finish(self) -> Iterator[Fault]:
        """The samples that ask such a question."""
        constant = self._constant()
        for number, id, question in self._asked:
            if question in constant:
                said = f"{' '.join(question)!r:.80} is answered {' '.join(constant[question])!r:.60}"
                yield Fault(number, id, "constant_answer", f"{said}, whatever is shown")

    def facts(self) -> dict[str, Any]:
        """Such questions, and how often they are asked."""
        return {"constant questions": {" ".join(q): self._answers[q].total() for q in self._constant()}}

    def _constant(self) -> dict[_Asked, _Asked]:
        """Question -> its one answer."""
        found: dict[_Asked, _Asked] = {}
        for question, answers in self._answers.items():
            answer, count = answers.most_common(1)[0]
            often = min(answers.total(), len(self._shown[question])) >= self._config.least
            if often and count >= self._config.share * answers.total():
                found[question] = answer
        return found
